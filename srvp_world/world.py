"""What every part agrees on: observations, batches, states and the `WorldModel` protocol.

Axes are named once, here: b batch, t time, c channels, h height, w width, d features. Frames are
(b, t, c, h, w) floats in [0, 1]; uint8 (t, h, w, c) exists only on disk and at the edge of an
environment.

Time, for an episode of T frames:

    x_1 --a_1--> x_2 --a_2--> x_3      an action, and the z that follows it, lie between frames
    y_1 --z_2--> y_2 --z_3--> y_3      reward and continuation belong to the arrival
          r_2,c_2      r_3,c_3         c = 0 where the episode terminated

Row i (from 0) of `actions` is a_{i+1}; row i of `rewards` and `continues` is r_{i+2}, c_{i+2}.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from srvp_world.errors import ConfigError
from srvp_world.spaces import ActionSpec


class Observation(NamedTuple):
    """What a model takes in.

    Attributes:
        frames: (b, t, c, h, w) in [0, 1]; (b, c, h, w) where a single time step is meant.
        vector: (b, t, d) or (b, d) proprioception beside the frames, if the world has one.
    """

    frames: Tensor
    vector: Tensor | None = None


class Prediction(NamedTuple):
    """What a model says of one transition; None where it has no such head.

    Attributes:
        reward: (b,) expected reward of the arrival, in the environment's units.
        continuation: (b,) probability that the episode goes on after the arrival.
    """

    reward: Tensor | None
    continuation: Tensor | None


@dataclass(frozen=True)
class Batch:
    """Windows of videos or experience, ready for a model.

    Rows that run past the end of their episode repeat its last frame there, with `valid` False.

    Attributes:
        frames: (b, t, c, h, w) in [0, 1].
        valid: (b, t) bool; transition i is valid where `valid[:, i + 1]` is.
        episode_start: (b,) bool, True where the window begins with an episode's first frame.
        actions: (b, t - 1, ...) in the action space's units, or None.
        rewards: (b, t - 1) in the environment's units, or None.
        continues: (b, t - 1), 0.0 where the episode terminated at the arrival, else 1.0; or None.
        vector: (b, t, d), or None.
        first_frame: (b, c, h, w), of the episode that each window is cut from, or None.
        first_vector: (b, d) beside it, or None.
    """

    frames: Tensor
    valid: Tensor
    episode_start: Tensor
    actions: Tensor | None = None
    rewards: Tensor | None = None
    continues: Tensor | None = None
    vector: Tensor | None = None
    first_frame: Tensor | None = None
    first_vector: Tensor | None = None

    @property
    def observation(self) -> Observation:
        """The frames, and the vector where there is one."""
        return Observation(self.frames, self.vector)

    @property
    def first(self) -> Observation | None:
        """How the episodes began, where that is known."""
        if self.first_frame is None:
            return None
        return Observation(self.first_frame, self.first_vector)

    def to(self, device: torch.device | str) -> "Batch":
        """Move every tensor to a device."""
        tensors = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})


class Shard(NamedTuple):
    """The rows of every global batch that belong to one of several training processes.

    Attributes:
        rank: Number of the process, from 0.
        ranks: How many there are.
    """

    rank: int = 0
    ranks: int = 1

    def rows(self, size: int) -> slice:
        """Give the rows of a global batch of `size` that are this process's own.

        Raises:
            ConfigError: If the processes cannot share them evenly.
        """
        if size % self.ranks:
            raise ConfigError(
                f"{self.ranks} processes cannot share a batch_size of {size} evenly: "
                f"make it a multiple of {self.ranks}"
            )
        share = size // self.ranks
        return slice(self.rank * share, (self.rank + 1) * share)

    def draw(
        self,
        source: Callable[..., Tensor],
        shape: Sequence[int],
        generator: torch.Generator | None,
        device: torch.device,
    ) -> Tensor:
        """Keep own rows, of `shape`, of what `source` (such as `torch.rand`) draws for all.

        So training sees the same numbers, however many processes share it.
        """
        size = shape[0] * self.ranks
        drawn = source((size, *shape[1:]), generator=generator, device=device)
        return drawn[self.rows(size)]


WHOLE = Shard()  # of a process that trains alone


class State(Protocol):
    """An explicit, opaque batch of states of a world.

    Whatever a model needs to go on is in here and nowhere else, so a state can be kept, copied and
    branched.
    """

    @property
    def batch_size(self) -> int:
        """Number of rows."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        ...

    def where(self, mask: Tensor, other: Self) -> Self:
        """Take row i of self where `mask[i]`, else row i of other."""
        ...

    def index(self, rows: Tensor) -> Self:
        """Take rows by a (n,) long or (b,) bool tensor."""
        ...

    def repeat(self, times: int) -> Self:
        """Repeat each row `times` times, next to each other."""
        ...

    @classmethod
    def cat(cls, states: Sequence[Self]) -> Self:
        """Join states row after row."""
        ...

    def compact(self) -> Self:
        """Keep nothing but what the rows need."""
        ...

    def forget(self) -> Self:
        """Drop what only watching needs: from here on the state can be stepped, not observed."""
        ...

    def detach(self) -> Self:
        """Cut the state off the graph."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Move the state to a device."""
        ...


S = TypeVar("S", bound=State)


class WorldModel(Protocol[S]):
    """A world that can be watched and stepped. No hidden state, no host synchronisation.

    `encode` and `observe` watch (the posterior); `step` imagines (the prior). Only encoded or
    observed states can observe.
    """

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        ...

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of a frame."""
        ...

    @property
    def action(self) -> ActionSpec | None:
        """The actions that the model takes, or None."""
        ...

    @property
    def noise_dim(self) -> int:
        """Size of the standard normal noise that one step consumes; 0 where nothing is drawn."""
        ...

    @property
    def start_noise_dim(self) -> int:
        """Size of the standard normal noise of a start from the prior; 0 where there is none."""
        ...

    @property
    def feature_dim(self) -> int:
        """Size of `features`."""
        ...

    @property
    def vector_dim(self) -> int:
        """Size of the vector beside the frames; 0 for none."""
        ...

    @property
    def fewest_rows(self) -> int:
        """Rows that it must see together: 2 where they are normalised by one another, else 1."""
        ...

    @property
    def has_reward(self) -> bool:
        """Whether steps predict rewards."""
        ...

    @property
    def has_uncertainty(self) -> bool:
        """Whether `uncertainty` can tell."""
        ...

    @property
    def has_continuation(self) -> bool:
        """Whether steps predict ends."""
        ...

    def encode(
        self,
        observation: Observation,
        actions: Tensor | None = None,
        *,
        episode_start: Tensor | None = None,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> S:
        """Watch (b, t, ...) frames and the actions between them; return the last state."""
        ...

    def observe(
        self,
        state: S,
        observation: Observation,
        action: Tensor | None = None,
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> S:
        """Watch one more frame (b, c, h, w), which followed `action`."""
        ...

    def step(
        self,
        state: S,
        action: Tensor | None = None,
        *,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        substeps: int | None = None,
    ) -> tuple[S, Prediction]:
        """Imagine one frame ahead. Temperature scales the prior's standard deviation only."""
        ...

    def prior_start(self, state: S, noise: Tensor) -> S:
        """Keep a state's content and draw what moves from the prior of first states."""
        ...

    def decode(self, state: S) -> Tensor:
        """Show the state as frames (b, c, h, w) in [0, 1]."""
        ...

    def decode_vector(self, state: S) -> Tensor:
        """Show the state as the vector (b, vector_dim) beside the frames."""
        ...

    def uncertainty(self, state: S, action: Tensor | None = None) -> Tensor:
        """Say how uncertain the next step is: (b,), 1 as on the data that the model learnt from."""
        ...

    def features(self, state: S) -> Tensor:
        """What a policy sees of the state: (b, d), normalised by statistics frozen in the world."""
        ...


class Loss(NamedTuple):
    """A training loss and its parts.

    Attributes:
        total: Scalar to minimise.
        terms: Detached scalars by name, for logs.
        prediction: (b, n, c, h, w) frames that the model gives for the batch, those that the loss
            looked at, detached.
    """

    total: Tensor
    terms: dict[str, Tensor]
    prediction: Tensor


class Trainable(Protocol):
    """A model that `train.fit` can fit: an `nn.Module` with a loss and a preview of batches."""

    def loss(self, batch: Batch, generator: torch.Generator, shard: Shard = WHOLE) -> Loss:
        """Compute the loss of a shard of a batch; every random draw comes from `generator`."""
        ...

    def preview(self, batch: Batch, context: int, generator: torch.Generator) -> Tensor:
        """Watch the first `context` frames of a batch, then imagine the rest with its actions.

        Returns:
            (b, t, c, h, w) frames: reconstructions of the watched ones, then what is imagined.
        """
        ...
