"""What an imagined step is worth, and whether it was the last: by the world's heads or by yours."""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srvp_world.envs.view import Transition
from srvp_world.errors import ConfigError, did_you_mean
from srvp_world.world import Prediction, WorldModel

TransitionFn = Callable[[Transition], Tensor]


class Outcome(NamedTuple):
    """What came of one step of n rows.

    Attributes:
        reward: (n,) float32.
        terminated: (n,) bool.
        lost: (n,) bool, whether the world was more uncertain than it may be; None if it may.
        uncertainty: (n,), where a penalty or a maximum asks for it.
    """

    reward: Tensor
    terminated: Tensor
    lost: Tensor | None
    uncertainty: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Judges steps; see `DreamVectorEnv` for what the fields mean."""

    end: str
    reward_fn: TransitionFn | None
    termination_fn: TransitionFn | None
    penalty: float
    max_uncertainty: float | None

    def check(self, model: WorldModel[Any]) -> None:
        """Refuse penalties and maxima that make no sense, or that the world cannot measure.

        Raises:
            ConfigError: Naming the value.
        """
        most = math.inf if self.max_uncertainty is None else self.max_uncertainty
        sound = isinstance(most, (int, float)) and isinstance(self.penalty, (int, float))
        if not (sound and 0 <= self.penalty < math.inf and most > 0):
            raise ConfigError(
                "need penalty >= 0 and max_uncertainty > 0 or None, "
                f"got {self.penalty!r} and {self.max_uncertainty!r}"
            )
        if (self.penalty or self.max_uncertainty is not None) and not model.has_uncertainty:
            raise ConfigError(
                "this world cannot tell how uncertain it is: leave penalty and max_uncertainty "
                "out, or train one with `--ensemble 5`"
            )

    def __call__(
        self,
        model: WorldModel[Any],
        transition: Transition,
        prediction: Prediction,
        uniform: Tensor,
    ) -> Outcome:
        """Judge a step; `uniform` (n,) decides ends that are drawn."""
        rows = len(uniform)
        if self.reward_fn is not None:
            reward = _checked("reward_fn", self.reward_fn(transition), rows).float()
        elif prediction.reward is not None:
            reward = prediction.reward.float()
        else:
            reward = torch.zeros(rows, device=uniform.device)
        if self.termination_fn is not None:
            terminated = _checked("termination_fn", self.termination_fn(transition), rows)
            if terminated.dtype != torch.bool:
                raise ConfigError(
                    f"termination_fn must give bool, got {terminated.dtype}: compare it with a "
                    "threshold"
                )
        elif prediction.continuation is not None:
            terminated = prediction.continuation < (0.5 if self.end == "threshold" else uniform)
        else:
            terminated = torch.zeros(rows, dtype=torch.bool, device=uniform.device)
        if not self.penalty and self.max_uncertainty is None:
            return Outcome(reward, terminated, None, None)
        action = None if model.action is None else transition.action  # noise is no action to it
        uncertainty = model.uncertainty(transition.before.state, action)
        reward = reward - self.penalty * (uncertainty - 1).clamp(min=0)
        lost = None if self.max_uncertainty is None else uncertainty > self.max_uncertainty
        return Outcome(reward, terminated, lost, uncertainty)


def which_function(name: str, value: TransitionFn | str | None) -> TransitionFn | None:
    """Find a function of transitions: itself, or `module:name`, which JSON can hold.

    Raises:
        ConfigError: If there is none.
    """
    if value is None or (callable(value) and not isinstance(value, str)):
        return value
    module, colon, attribute = str(value).partition(":")
    if not isinstance(value, str) or not (module and colon and attribute):
        raise ConfigError(f"{name} must be a function or 'module:name', got {value!r}")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{name}={value!r}: cannot import {module!r} ({error})") from None
    if not callable(getattr(found, attribute, None)):
        hint = did_you_mean(attribute, vars(found))
        raise ConfigError(f"{name}={value!r}: {module} has no function {attribute!r}: {hint}")
    function: TransitionFn = getattr(found, attribute)
    return function


def _checked(name: str, value: Tensor, rows: int) -> Tensor:
    """Refuse what is no number a row."""
    if not isinstance(value, Tensor) or value.shape != (rows,):
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(f"{name} must give a tensor ({rows},), one value a row, got {got}")
    return value
