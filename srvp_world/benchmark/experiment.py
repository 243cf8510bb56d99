"""What the paper's experiments share: which worlds can do them, true clips, and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

from srvp_world.benchmark.figures import DPI, save_figure
from srvp_world.benchmark.protocols import Clips, Protocol
from srvp_world.benchmark.scores import estimate
from srvp_world.checkpoint import World
from srvp_world.data.mnist import test_digits
from srvp_world.data.moving_mnist import (
    STOCHASTIC,
    TEST_LENGTH,
    test_trajectories,
)
from srvp_world.errors import ConfigError
from srvp_world.model.srvp import SRVP

SEED = 1  # as evaluation
BATCH_SIZE = 16
DEFINITIONS = {
    "interval": "half of the 95 % confidence interval: 1.96 std / sqrt(n), population std over n "
    "clips or pairs of clips",
    "frames": "decoded frames are clamped to [0, 1], not quantised",
    "centre": "centre of mass of a whole frame in pixels (row, column), all digits together",
}

_LEFT, _LINE, _LETTER = 170, 26, 8  # pixels for words


class Truth(NamedTuple):
    """How the digits of Moving MNIST's test clips move.

    Attributes:
        images: (n, digits, 28, 28) uint8.
        positions: (n, t, digits, 2) exact.
    """

    images: np.ndarray
    positions: np.ndarray


def check_video_world(world: World) -> None:
    """Refuse a world with actions.

    Raises:
        ConfigError: If it takes actions, of which clips of video have none.
    """
    if world.action is not None:
        raise ConfigError(
            f"this world takes actions {world.action.space}: experiments are for worlds that were "
            "learnt from video, so train one with `srvp-world train smmnist` or --frames-only"
        )


def state_space_model(world: World, wants: str) -> SRVP:
    """Give the model of a world whose states are apart from its frames.

    Raises:
        ConfigError: If it takes actions, or is of another kind, which has not what is wanted.
    """
    check_video_world(world)
    if not isinstance(world.model, SRVP):
        raise ConfigError(f"SVG has no {wants}: take a world of the kind 'srvp'")
    return world.model


def moving_truth(
    protocol: Protocol, clips: Clips, substeps: int = 1, *, progress: bool = False
) -> Truth | None:
    """Give true positions for the clips of a protocol, also between frames; None where unknown.

    As for the clips themselves, paths are drawn at the paper's length and then cut.
    """
    if protocol.name not in STOCHASTIC:
        return None
    movement = test_trajectories(
        stochastic=STOCHASTIC[protocol.name],
        length=TEST_LENGTH[protocol.name],
        videos=clips.count,
        substeps=substeps,
        progress=progress,
    )
    positions = movement.positions[:, : (protocol.length - 1) * substeps + 1]
    return Truth(test_digits().images[movement.digits], positions)


def to_frames(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Turn clips (n, t, h, w, c) uint8 into what models watch: (n, t, c, h, w) in [0, 1]."""
    return rearrange(torch.from_numpy(pixels).to(device), "n t h w c -> n t c h w").float() / 255


def to_pixels(frames: Tensor) -> np.ndarray:
    """Turn frames (..., c, h, w) in [0, 1] into (..., h, w, c) uint8."""
    pixels = (frames.clamp(0, 1) * 255).round().byte().cpu()
    shown: np.ndarray = rearrange(pixels, "... c h w -> ... h w c").numpy()
    return shown


def summary(values: np.ndarray) -> dict[str, Any]:
    """Average (clips, ...) over all but clips, then over clips, with its interval."""
    means = values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)
    return {name: float(value) for name, value in estimate(means)._asdict().items()}


def shown(value: Mapping[str, float] | None, digits: int) -> str:
    """Write a summary in a table."""
    if value is None:
        return "-"
    return f"{value['mean']:.{digits}f} ± {value['interval']:.{digits}f}"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def draw_rows(
    rows: Mapping[str, np.ndarray], heads: Sequence[str], words: str, path: Path, scale: int = 1
) -> None:
    """Draw clips below each other with their names, time from left to right.

    Args:
        rows: (t, h, w, c) uint8 by name, all of one shape but for their channels.
        heads: What stands above each frame.
        words: What stands below.
        path: Where to write the PNG.
        scale: How many pixels wide and high a pixel becomes.

    Raises:
        OutputError: If the file cannot be written.
    """
    colour = [np.broadcast_to(row, (*row.shape[:3], 3)) for row in rows.values()]
    spaced = np.pad(np.stack(colour), [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=255)
    picture = repeat(spaced, "n t h w c -> (n h i) (t w j) c", i=scale, j=scale)
    height = picture.shape[0] + 2 * _LINE
    width = max(picture.shape[1] + _LEFT, _LETTER * len(words))
    figure = matplotlib.figure.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(picture, xo=_LEFT, yo=_LINE, origin="upper")
    across, down = picture.shape[1] / len(heads), picture.shape[0] / len(rows)
    centred: dict[str, Any] = {"ha": "center", "va": "center", "size": 9}
    for i, head in enumerate(heads):
        x = (_LEFT + (i + 0.5) * across) / width
        figure.text(x, 1 - _LINE / 2 / height, head, **centred)
    for i, name in enumerate(rows):
        y = 1 - (_LINE + (i + 0.5) * down) / height
        figure.text((_LEFT - 6) / width, y, name, **(centred | {"ha": "right"}))
    figure.text(6 / width, _LINE / 2 / height, words, **(centred | {"ha": "left"}))
    save_figure(figure, path)
