"""Tiny worlds with random weights for tests."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from srvp_world.baselines.svg import SVG
from srvp_world.baselines.svg_config import SVGConfig
from srvp_world.checkpoint import StartClips, World
from srvp_world.config import ModelConfig
from srvp_world.model.srvp import SRVP
from srvp_world.spaces import ActionSpec
from srvp_world.world import Batch

ACTIONS = {
    "none": None,
    "box": ActionSpec(kind="box", shape=(2,), low=(-2.0, -1.0), high=(2.0, 1.0)),
    "wide": ActionSpec(
        kind="box", shape=(2, 2), low=(0.0, -5.0, -1.0, 1.0), high=(9.0, 5.0, 0.0, 2.0)
    ),
    "discrete": ActionSpec(kind="discrete", nvec=(3,)),
    "multidiscrete": ActionSpec(kind="multidiscrete", shape=(2,), nvec=(3, 2)),
    "multibinary": ActionSpec(kind="multibinary", shape=(3,), nvec=(2, 2, 2)),
}
KINDS = ("box", "discrete", "multidiscrete", "multibinary")
CONFIG = ModelConfig(
    frame_size=32,
    filters=2,
    code_dim=8,
    state_dim=6,
    innovation_dim=3,
    content_frames=2,
    inference_hidden=16,
    dynamics_hidden=16,
    reward=True,
    continuation=True,
)
SVG_CONFIG = SVGConfig(
    frame_size=32,
    filters=2,
    code_dim=8,
    innovation_dim=3,
    content_frames=2,
    recurrent_hidden=16,
)


def tiny_model(action: str = "box", seed: int = 0, **changes) -> SRVP:
    """Build a model whose codes differ between frames as much as a trained one's do."""
    model = SRVP(replace(CONFIG, action=ACTIONS[action], **changes), seed=seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    size = model.config.inference_hidden + model.config.state_dim
    state = torch.randn(64, size, generator=generator())
    with torch.no_grad():
        _, maps = model.train().encoder(random_frames(64, 1, model)[:, 0])
        model.decoder(state, maps if model.config.skips else None)
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def tiny_svg(seed: int = 0, **changes) -> SVG:
    """Build an SVG whose codes, memories and frames answer to what it sees."""
    model = SVG(replace(SVG_CONFIG, **changes), seed=seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(20)  # they begin so small that all rows are nearly the same
        for norm in norms:
            norm.momentum = 1.0
        model.train().loss(random_batch(model, (4,) * 16), generator())
        for norm in norms:
            norm.momentum = 0.1
    return model.eval()


def tiny_world(
    action: str = "box",
    model: SRVP | SVG | None = None,
    lengths: tuple[int, ...] = (6, 4, 5),
    **fields,
) -> World:
    """Give a tiny model start clips, which begin episodes where there are actions."""
    model = model or tiny_model(action)
    model.requires_grad_(False)
    n, longest = len(lengths), max(lengths)
    frames = (random_frames(n, longest, model).movedim(2, -1) * 255).round().byte()
    for row, length in enumerate(lengths):
        frames[row, length:] = frames[row, length - 1]
    actions = random_actions(model.action, n, longest - 1)
    starts = StartClips(frames, torch.tensor(lengths), actions, begin_episodes=actions is not None)
    return World(model, starts, **{"episode_length": 9, **fields})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_frames(b: int, t: int, model: SRVP | SVG, seed: int = 0) -> Tensor:
    """Draw frames of blocks of 8 pixels, so that convolutions see something."""
    c, h, w = model.frame_shape
    coarse = torch.rand(b, t, c, h // 8, w // 8, generator=generator(seed))
    return coarse.repeat_interleave(8, -1).repeat_interleave(8, -2)


def random_actions(spec: ActionSpec | None, b: int, t: int, seed: int = 1) -> Tensor | None:
    if spec is None:
        return None
    unit = torch.rand(b, t, max(len(spec.low), len(spec.nvec)), generator=generator(seed))
    if spec.kind == "box":
        low, high = torch.tensor(spec.low), torch.tensor(spec.high)
        return (low + unit * (high - low)).reshape(b, t, *spec.shape)
    choices = (unit * torch.tensor(spec.nvec)).long()
    return choices.reshape(b, t, *spec.shape)


def random_batch(model: SRVP | SVG, lengths: tuple[int, ...] = (5, 3, 5), seed: int = 0) -> Batch:
    """Draw a batch of windows with these numbers of valid frames; the last begins an episode."""
    b, t = len(lengths), max(lengths)
    draws = generator(seed + 10)
    size = model.vector_dim
    return Batch(
        frames=random_frames(b, t, model, seed),
        valid=torch.arange(t) < torch.tensor(lengths)[:, None],
        episode_start=torch.arange(b) == b - 1,
        actions=random_actions(model.action, b, t - 1, seed),
        rewards=torch.randn(b, t - 1, generator=draws),
        continues=(torch.rand(b, t - 1, generator=draws) < 0.7).float(),
        vector=torch.randn(b, t, size, generator=draws) if size else None,
    )
