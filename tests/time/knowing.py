"""An SRVP whose networks know the diary: all that SRVP itself does is put things together in time.

Its state is the page. An innovation is a page and the action before it: the posterior reads them
off the frame and the action that it is told, the prior works them out from the state and the action
that it is told. Where the two contradict each other, for something is of another time, the state is
WRONG from there on.
"""

import torch
from diary import ACTION, CHOICES, OVER, TOTAL, Rules, draw, read
from torch import Tensor, nn
from worlds import CONFIG

from srvp_world.checkpoint import World
from srvp_world.config import ModelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.envs.starts import clips_of
from srvp_world.model.gaussian import Gaussian
from srvp_world.model.heads import Ensemble
from srvp_world.model.srvp import SRVP
from srvp_world.spaces import ActionSpec

PAGE = 5
CHOICE = ActionSpec(kind="discrete", nvec=(CHOICES,))
BOX = ActionSpec(kind="box", shape=(1,), low=(0.0,), high=(CHOICES - 1.0,))
POSTERIOR, PRIOR = 1e-9, 1e-3  # deviations, between which the divergence is constant
WRONG = 999.0


class Knows(nn.Module):
    """A network that is a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class KnowingEnsemble(Ensemble):
    """Guesses the change of the page."""

    def know(self, rules: Rules, spec: ActionSpec) -> Ensemble:
        self.rules, self.spec = rules, spec
        return self

    def forward(self, y, context):
        change = self.rules.turn(y, decode(self.spec, context.action)) - y
        return change.expand(len(self.weights[0]), -1, -1)


def decode(spec: ActionSpec, encoded: Tensor) -> Tensor:
    """Undo `ActionSpec.encode`; no action is 0."""
    if spec.kind == "discrete":
        return encoded.argmax(-1).float()
    return (encoded[..., 0] + 1) * (CHOICES - 1) / 2


def sure(mean: Tensor, std: float) -> Gaussian:
    return Gaussian(mean, torch.full_like(mean, std))


def knowing(rules: Rules, spec: ActionSpec = CHOICE, vector: bool = False, **changes) -> SRVP:
    """Build the model; with a vector beside the frames, it reads half a page from each."""
    sizes = {
        "code_dim": PAGE,
        "state_dim": PAGE,
        "innovation_dim": PAGE + 1,
        "vector_dim": PAGE if vector else 0,
    }
    model = SRVP(ModelConfig(**{**vars(CONFIG), **sizes, "action": spec, **changes}))
    share = 0.5 if vector else 1.0

    def told(context) -> Tensor:
        return decode(spec, context.action)

    def watch(codes, before, memory):
        action = decode(spec, before)[..., None]
        seen = torch.cat([codes, action], dim=-1)
        return seen, (codes[:, -1], codes[:, -1])

    def prior(y, context):
        action = told(context)
        return sure(torch.cat([rules.turn(y, action), action[..., None]], dim=-1), PRIOR)

    def dynamics(y, z, context, substeps):
        expected = prior(y, context).mean  # which a frame that follows bears out
        agree = ((z - expected).abs() < 0.05).all(-1, keepdim=True)
        following = torch.where(agree, z[..., :PAGE], WRONG)
        return following[:, None], (following - y)[:, None]

    def reward(y, following, context):
        agree = (following[..., ACTION] - told(context)).abs() < 0.05
        return torch.where(agree, following[..., TOTAL] - y[..., TOTAL], WRONG)

    model.encoder = Knows(lambda frames: (share * read(frames), []))
    model.decoder = Knows(lambda inputs, skips: draw(inputs[..., -PAGE:]))
    model.first_state = Knows(lambda codes: sure(codes[:, 0], POSTERIOR))
    model.filter, model.prior, model.dynamics = Knows(watch), Knows(prior), Knows(dynamics)
    model.filter.innovation = lambda seen, before: sure(seen, POSTERIOR)
    model.filter.sees_state = model.config.filter == "state"
    model.reward_head = Knows(reward)
    model.continuation_head = Knows(lambda y, content: 40 - 80 * y[..., OVER])
    if vector:
        model.vector_nets.encoder = Knows(lambda numbers: 0.5 * numbers)
        model.vector_nets.decoder = Knows(lambda inputs: inputs[..., -PAGE:])
    if model.config.code_head:
        model.code_head = Knows(lambda y: y)
    if model.config.ensemble:
        model.ensemble = KnowingEnsemble(model.config).know(rules, spec)
    return model.eval().requires_grad_(False)


def knowing_world(rules: Rules, data: Dataset, *, horizon: int = 3, **options) -> World:
    """Make a world of a knowing model; dreams begin from episodes, the first of which is cut."""
    clips = clips_of([data.read(i, 0, None if i else 2) for i in range(len(data))])
    if options.get("spec") is BOX:
        actions = clips.actions.float()[..., None]
        clips = type(clips)(**{**vars(clips), "actions": actions})
    model = knowing(rules, **options)
    return World(model, clips, pixels=data.info.pixels, episode_length=horizon)
