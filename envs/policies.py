"""What acts: the protocol of a policy on what an env shows, and two that act at random."""

from collections.abc import Callable
from typing import Any, Protocol, TypeGuard, cast

import numpy as np

from srvp_world.envs.pixels import Observed
from srvp_world.errors import UnknownNameError, did_you_mean
from srvp_world.spaces import ActionSpec

# Policies and envs get the same seeds; without a key of its own a policy would draw the very
# numbers from which the env draws its start, and the first actions would give the start away.
_POLICY_KEY = 0x706F6C

PERSISTENCE = 0.8


class Policy(Protocol):
    """Chooses an action from each observation of one episode after the other."""

    def reset(self, seed: int) -> None:
        """Begin a new episode; every random draw in it follows from the seed."""
        ...

    def act(self, shown: Observed) -> Any:
        """Choose an action, in the space's layout and dtype, on what the env shows.

        That is a frame (h, w, c) uint8, or a dictionary where there is a vector beside it.
        """
        ...


PolicyFactory = Callable[[ActionSpec], Policy]
"""Builds a policy for an action space; worker processes get it pickled."""


def is_policy(candidate: PolicyFactory | Policy) -> TypeGuard[Policy]:
    """Say whether something is a policy already, and not a way to build one."""
    return hasattr(candidate, "act") and not isinstance(candidate, type)


def build_policy(make_policy: PolicyFactory | Policy, action: ActionSpec) -> Policy:
    """Build a policy for an action space, unless there is one already."""
    if is_policy(make_policy):
        return make_policy
    return cast(PolicyFactory, make_policy)(action)


def policy_name(make_policy: PolicyFactory | Policy) -> str:
    """Name a policy or what builds it, for the provenance of what it plays."""
    return getattr(make_policy, "__name__", type(make_policy).__name__)


class RandomPolicy:
    """Draws every action uniformly from the space."""

    def __init__(self, action: ActionSpec) -> None:
        """Act in the space that `action` describes."""
        self._action = action
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode."""
        self._rng = _generator(seed)

    def act(self, shown: Observed) -> Any:
        """Draw an action; what the env shows does not matter."""
        if self._action.kind == "box":
            return _box_action(self._action, self._rng.uniform(-1, 1, self._action.width))
        return _choice_action(self._action, self._rng.integers(self._action.nvec))


class SmoothRandomPolicy:
    """Draws random actions that persist, and so go further than uniform noise does.

    Components of a box follow a stationary AR(1) process with correlation 0.8 from one decision to
    the next and a standard deviation of half the box's width, clipped to the box: about a third of
    the actions lie on a bound. A discrete component keeps its choice with probability 0.8 and draws
    a new one uniformly otherwise, which has the same correlation.
    """

    def __init__(self, action: ActionSpec) -> None:
        """Act in the space that `action` describes."""
        self._action = action
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new episode, from the process's stationary distribution."""
        self._rng = _generator(seed)
        self._noise = self._rng.standard_normal(self._action.width)
        self._choice = self._draw_choice()

    def act(self, shown: Observed) -> Any:
        """Draw the next action of the process; what the env shows does not matter."""
        if self._action.kind == "box":
            action = _box_action(self._action, self._noise)
            fresh = self._rng.standard_normal(self._action.width)
            self._noise = PERSISTENCE * self._noise + np.sqrt(1 - PERSISTENCE**2) * fresh
            return action
        action = _choice_action(self._action, self._choice)
        keep = self._rng.random(len(self._action.nvec)) < PERSISTENCE
        self._choice = np.where(keep, self._choice, self._draw_choice())
        return action

    def _draw_choice(self) -> np.ndarray:
        return self._rng.integers(self._action.nvec, size=len(self._action.nvec))


_RANDOM_POLICIES: dict[str, PolicyFactory] = {
    "random": RandomPolicy,
    "smooth-random": SmoothRandomPolicy,
}


def policy_factory(name: str) -> PolicyFactory:
    """Find a random policy by its name on the command line.

    Raises:
        UnknownNameError: If it is neither `random` nor `smooth-random`.
    """
    if name not in _RANDOM_POLICIES:
        raise UnknownNameError(f"no policy '{name}': {did_you_mean(name, _RANDOM_POLICIES)}")
    return _RANDOM_POLICIES[name]


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, _POLICY_KEY])


def _box_action(action: ActionSpec, unit: np.ndarray) -> np.ndarray:
    """Scale from [-1, 1] to the box, clipping what lies outside."""
    low, high = np.asarray(action.low, np.float32), np.asarray(action.high, np.float32)
    scaled = (low + high) / 2 + (high - low) / 2 * unit
    clipped: np.ndarray = np.clip(scaled.astype(np.float32), low, high)
    return clipped.reshape(action.shape)


def _choice_action(action: ActionSpec, choice: np.ndarray) -> Any:
    """Give the components' choices in the layout of the space."""
    choice = choice.astype(action.space.dtype)
    return choice[0] if action.kind == "discrete" else choice
