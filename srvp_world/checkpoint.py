"""Worlds on disk: one safetensors file with all that `gym.make` needs, its JSON in the header.

Nothing is ever unpickled, and what a file says is checked before it is used.
"""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import torch
from einops import rearrange
from torch import Tensor

from srvp_world import __version__
from srvp_world.config import PixelConfig, from_json, to_json
from srvp_world.data.tensors import load_weights as load_weights
from srvp_world.data.tensors import read_tensors as read_tensors
from srvp_world.data.tensors import write_tensors as write_tensors
from srvp_world.errors import (
    ConfigError,
    OutputError,
    SpaceError,
    UnknownNameError,
    WorldFileError,
    did_you_mean,
)
from srvp_world.kinds import KINDS, AnyConfig, Network, kind_of, read_config
from srvp_world.spaces import ActionSpec

FORMAT_VERSION = 1
_START_TENSORS = ("frames", "lengths", "actions", "vector")
SHIPPED = Path(str(files("srvp_world"))) / "worlds"
DEFAULT_WORLD = "pendulum"


@dataclass(frozen=True, eq=False)
class StartClips:
    """Clips that dreams begin from.

    Attributes:
        frames: (n, t, h, w, c) uint8, padded by repeating the last frame.
        lengths: (n,) int64 frames of each clip.
        actions: (n, t - 1, ...) in the action space's units, or None.
        begin_episodes: Whether clips begin with the first frame of a real episode.
        vector: (n, t, d) float32 beside the frames, or None.
    """

    frames: Tensor
    lengths: Tensor
    actions: Tensor | None
    begin_episodes: bool
    vector: Tensor | None = None


@dataclass(frozen=True, eq=False)
class World:
    """A model with all that makes it a world; immutable, so copies are the object itself.

    Attributes:
        model: The network, in evaluation mode.
        starts: Where dreams begin.
        pixels: How its real environment becomes frames, or None where it was learnt from video.
        episode_length: Decisions of a real episode, the default horizon of a dream.
        fps: Frames per second at which to show it.
        measured: Its measured quality, with the protocol; free JSON.
    """

    model: Network
    starts: StartClips
    pixels: PixelConfig | None = None
    episode_length: int | None = None
    fps: float = 15.0
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def action(self) -> ActionSpec | None:
        """The actions that the world takes, or None."""
        return self.model.action

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.model.device

    @property
    def fingerprint(self) -> str:
        """A hash of the weights, by which policies know their world."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            values = tensor.detach().cpu().float().contiguous().numpy()
            digest.update(name.encode() + values.tobytes())
        return digest.hexdigest()[:16]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: Gymnasium copies the arguments of `gym.make` with every wrapper."""
        return self

    def to(self, device: torch.device | str) -> Self:
        """Return the world with its model on a device; this one stays where it is.

        Raises:
            ConfigError: If there is no such device.
        """
        target = check_device(device)
        if target == self.device:
            return self
        return replace(self, model=copy.deepcopy(self.model).to(target))

    def with_measured(self, **measured: Any) -> Self:
        """Return the world with more measurements in its metadata."""
        return replace(self, measured={**self.measured, **measured})

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write the world to one file, atomically.

        Args:
            path: Ends in `.safetensors`.
            half: Store weights as float16, half the size; batch statistics stay float32.

        Raises:
            OutputError: If the file cannot be written, or its name could not be loaded.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise OutputError(f"cannot save a world as {str(path)!r}: use a name in .safetensors")
        header = {
            "version": FORMAT_VERSION,
            "package": __version__,
            "kind": kind_of(self.model.config),
            "model": to_json(self.model.config),
            "pixels": self.pixels and to_json(self.pixels),
            "episode_length": self.episode_length,
            "fps": self.fps,
            "begin_episodes": self.starts.begin_episodes,
            "measured": dict(self.measured),
        }
        halved = {name for name, _ in self.model.named_parameters()} if half else set()
        tensors = {
            f"model.{name}": (tensor.half() if name in halved else tensor).detach().cpu()
            for name, tensor in self.model.state_dict().items()
        }
        starts = {name: getattr(self.starts, name) for name in _START_TENSORS}
        tensors |= {f"starts.{name}": value for name, value in starts.items() if value is not None}
        return write_tensors(path, tensors, {"srvp_world": json.dumps(header)})


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a world file says beside its tensors."""

    version: int
    package: str
    kind: str
    model: dict[str, Any]
    pixels: PixelConfig | None
    episode_length: int | None
    fps: float
    begin_episodes: bool
    measured: dict[str, Any]


def load(path_or_name: str | Path = DEFAULT_WORLD, device: torch.device | str = "cpu") -> World:
    """Open a world: a file's path, or the name of a world that ships with the package.

    >>> world = load("pendulum")
    >>> world.action.space
    Box(-2.0, 2.0, (1,), float32)

    Raises:
        UnknownNameError: If no world ships under that name.
        WorldFileError: If the file is missing, truncated, not a world, or from a newer version.
        ConfigError: If there is no such device.
    """
    target = check_device(device)
    tensors, metadata = read_tensors(_find(path_or_name), "a world file")
    where = f"world file {str(path_or_name)!r}"
    header, config = _read_header(metadata, where)
    model = KINDS[header.kind].network(config)
    prefix = "model."
    weights = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    load_weights(model, weights, where)
    starts = _read_starts(tensors, model, header.begin_episodes, where)
    return World(
        model=model.eval().requires_grad_(False).to(target),
        starts=starts,
        pixels=header.pixels,
        episode_length=header.episode_length,
        fps=header.fps,
        measured=header.measured,
    )


def check_device(device: torch.device | str) -> torch.device:
    """Check that a device is there, by touching it.

    Raises:
        ConfigError: If it is not.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # torch raises both, over many lines
        reason = str(error).splitlines()[0]
        raise ConfigError(f"no device {str(device)!r} ({reason}): use 'cpu'") from None


def _find(path_or_name: str | Path) -> Path:
    """Give the file of a path or of a shipped world's name."""
    path = Path(path_or_name)
    is_path = isinstance(path_or_name, Path) or len(path.parts) > 1
    if is_path or path.suffix == ".safetensors":
        return path
    shipped = {file.stem: file for file in SHIPPED.glob("*.safetensors")}
    if path_or_name not in shipped:
        hint = did_you_mean(str(path_or_name), shipped)
        raise UnknownNameError(
            f"no world {path_or_name!r} ships with srvp-world: {hint} (or give a .safetensors path)"
        )
    return shipped[str(path_or_name)]


def _read_header(metadata: Mapping[str, str], where: str) -> tuple[_Header, AnyConfig]:
    """Check and parse what a world file says beside its tensors."""
    if "srvp_world" not in metadata:
        raise WorldFileError(
            f"{where} is a safetensors file but not a world: save one with world.save(path)"
        )
    try:
        header = json.loads(metadata["srvp_world"])
        if not isinstance(header, dict) or header.get("kind") not in KINDS:
            raise WorldFileError(
                f"{where} belongs to srvp-world but is no world: save one with world.save(path)"
            )
        if header.get("version") != FORMAT_VERSION:
            raise WorldFileError(
                f"{where} has format {header.get('version')}, this srvp-world {__version__} reads "
                f"{FORMAT_VERSION}: upgrade with `pip install -U srvp-world`"
            )
        parsed = from_json(_Header, header)
        return parsed, read_config(parsed.kind, parsed.model)
    except (ConfigError, json.JSONDecodeError) as error:
        raise WorldFileError(
            f"{where} has a broken header ({error}): save it again with world.save(path)"
        ) from None


def _read_starts(
    tensors: Mapping[str, Tensor], model: Network, begin_episodes: bool, where: str
) -> StartClips:
    """Check and assemble the start clips of a world file."""
    frames, lengths = tensors.get("starts.frames"), tensors.get("starts.lengths")
    actions, vector = tensors.get("starts.actions"), tensors.get("starts.vector")
    missing = (model.action is None) != (actions is None) or (not model.vector_dim) != (
        vector is None
    )
    if frames is None or lengths is None or missing:
        raise WorldFileError(f"{where} lacks start clips: save it again with world.save(path)")
    c, h, w = model.frame_shape
    fits = frames.ndim == 5 and tuple(frames.shape[2:]) == (h, w, c) and 0 not in frames.shape
    if frames.dtype != torch.uint8 or not fits:
        raise WorldFileError(
            f"{where}: start frames are {frames.dtype} {tuple(frames.shape)}, "
            f"not uint8 (n, t, {h}, {w}, {c}): save it again with world.save(path)"
        )
    shortest = 1 if begin_episodes else model.config.content_frames
    whole = lengths.dtype == torch.int64 and lengths.shape == frames.shape[:1]
    if not whole or lengths.min() < shortest or lengths.max() > frames.shape[1]:
        raise WorldFileError(
            f"{where}: start clips must have {shortest} to {frames.shape[1]} frames, "
            f"their lengths say {lengths.tolist()}: save it again with world.save(path)"
        )
    if actions is not None and model.action is not None:
        n, t = frames.shape[:2]
        if actions.shape[:2] != (n, t - 1):
            raise WorldFileError(f"{where}: {t} start frames need {t - 1} actions: save it again")
        try:
            rows = rearrange(actions, "n t ... -> (n t) ...")
            model.action.check(rows.numpy(), f"{where}: start actions")
        except SpaceError as error:
            raise WorldFileError(str(error)) from None
    if vector is not None:
        wanted = (*frames.shape[:2], model.vector_dim)
        sound = vector.dtype == torch.float32 and tuple(vector.shape) == wanted
        if not (sound and vector.isfinite().all()):
            raise WorldFileError(
                f"{where}: start vectors are {vector.dtype} {tuple(vector.shape)}, not finite "
                f"float32 {wanted}: save it again with world.save(path)"
            )
    return StartClips(frames, lengths, actions, begin_episodes, vector)
