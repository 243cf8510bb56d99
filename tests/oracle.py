"""A world that counts: it tells which action, reward and end belong to which observation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from srvp_world.checkpoint import StartClips, World
from srvp_world.spaces import ActionSpec
from srvp_world.world import Observation, Prediction

BOX = ActionSpec(kind="box", shape=(1,), low=(-9.0,), high=(9.0,))


@dataclass(frozen=True)
class Count:
    """A state of the protocol, and nothing more: (b, ...) numbers."""

    number: Tensor

    @property
    def batch_size(self) -> int:
        return len(self.number)

    @property
    def device(self) -> torch.device:
        return self.number.device

    def where(self, mask: Tensor, other: Self) -> Self:
        return type(self)(torch.where(mask, self.number, other.number))

    def index(self, rows: Tensor) -> Self:
        return type(self)(self.number[rows])

    def repeat(self, times: int) -> Self:
        return type(self)(self.number.repeat_interleave(times, 0))

    @classmethod
    def cat(cls, states: Sequence[Self]) -> Self:
        return cls(torch.cat([state.number for state in states]))

    def compact(self) -> Self:
        return self

    def forget(self) -> Self:
        return self

    def detach(self) -> Self:
        return self

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.number.to(device))


class Counter:
    """Counts one up a step, as bright as its count; reward 100 * count at arrival + action.

    Continuation is `going_on`, but 0 on arrival at `end`.
    """

    action = BOX
    frame_shape = (1, 32, 32)
    noise_dim = start_noise_dim = fewest_rows = 1
    feature_dim = 1
    vector_dim = 1
    has_uncertainty = True
    device = torch.device("cpu")

    def __init__(self, end: int = -1, going_on: float = 1.0):
        self.end, self.going_on = end, going_on

    def encode(self, observation: Observation, actions=None, **_: object) -> Count:
        return Count((observation.frames[:, -1, 0, 0, 0] * 255).round())

    def observe(self, state: Count, observation: Observation, action=None, **_: object) -> Count:
        return Count((observation.frames[:, 0, 0, 0] * 255).round())

    def prior_start(self, state: Count, noise: Tensor) -> Count:
        return Count(state.number + 100)

    def step(self, state: Count, action: Tensor, **_: object) -> tuple[Count, Prediction]:
        number = state.number + 1
        continuation = torch.where(number == self.end, 0.0, self.going_on)
        return Count(number), Prediction(100 * number + action[:, 0], continuation)

    def decode(self, state: Count) -> Tensor:
        return (state.number / 255)[:, None, None, None].expand(-1, *self.frame_shape)

    def decode_vector(self, state: Count) -> Tensor:
        return 1000 + state.number[:, None]

    def uncertainty(self, state: Count, action: Tensor) -> Tensor:
        return state.number + action[:, 0] / 100

    def features(self, state: Count) -> Tensor:
        return state.number[:, None]  # shares its memory


def counting_world(*starts: int, end: int = -1, going_on: float = 1.0, length: int = 1) -> World:
    """Make a world whose clips count up from `starts`, `length` frames each."""
    counts = torch.tensor(starts)[:, None] + torch.arange(length)
    frames = counts.byte()[..., None, None, None].expand(-1, -1, 32, 32, 1)
    actions = torch.zeros(len(starts), length - 1, 1)
    clips = StartClips(frames, torch.full((len(starts),), length), actions, begin_episodes=True)
    return World(Counter(end, going_on), clips, episode_length=20)  # type: ignore[arg-type]
