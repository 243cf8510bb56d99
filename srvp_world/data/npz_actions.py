"""Which actions bare arrays hold, where no action space tells."""

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from srvp_world.errors import DataError, SpaceError
from srvp_world.spaces import ActionSpec

_MOST_CHOICES = 1000  # that are guessed; large numbers are rarely choices
_NAME_SPACE = "name the space (action_space, or --action-bounds LOW HIGH or --action-choices N)"


@dataclass(frozen=True)
class ActionReader:
    """Turns the actions of a file into those of a space.

    Attributes:
        spec: The space.
        one_hot: Whether the rows are one-hot, and become choices.
    """

    spec: ActionSpec
    one_hot: bool

    @classmethod
    def of(
        cls,
        actions: Sequence[np.ndarray],
        space: gym.Space[object] | None,
        notes: list[str],
    ) -> "ActionReader":
        """Find out what the actions are.

        Args:
            actions: (n, ...) of every episode, all alike.
            space: Of the actions; a Box of no shape bounds each component; None guesses.
            notes: Gets what was guessed.

        Raises:
            DataError: Where there is no action, or none has clear bounds.
            SpaceError: For a space that is not supported, or does not fit.
        """
        actions = [each for each in actions if len(each)]
        if not actions:
            raise DataError("there is no action between two frames: record longer episodes")
        rows = np.concatenate(actions)
        one_hot = _one_hot(rows)
        if space is None:
            spec = _guess(rows, one_hot, notes)
            return cls(spec, one_hot)
        if isinstance(space, gym.spaces.Box) and space.shape == ():  # bounds for each component
            space = gym.spaces.Box(float(space.low), float(space.high), rows.shape[1:], np.float32)
        spec = ActionSpec.from_space(space)
        one_hot = one_hot and spec.kind == "discrete" and spec.nvec == rows.shape[1:]
        reader = cls(spec, one_hot)
        if spec.kind == "discrete" and rows.ndim > 1 and not one_hot and rows.shape[1:] != (1,):
            raise SpaceError(
                f"actions have shape {rows.shape[1:]} each and are not one-hot, but the action "
                f"space is {space}: name the right one"
            )
        return reader

    def read(self, actions: np.ndarray) -> np.ndarray:
        """Give actions in the layout of the space; one-hot rows as the number of the choice."""
        return actions.argmax(axis=1) if self.one_hot else actions


def _one_hot(rows: np.ndarray) -> bool:
    """Whether each row chooses one of two or more, and not all the same."""
    if rows.ndim != 2 or rows.shape[1] < 2:
        return False
    binary = ((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()
    return bool(binary) and np.unique(rows.argmax(axis=1)).size > 1


def _guess(rows: np.ndarray, one_hot: bool, notes: list[str]) -> ActionSpec:
    width = rows.shape[1:]
    if one_hot:
        notes.append(f"one-hot actions became {width[0]} choices")
        return ActionSpec(kind="discrete", nvec=(width[0],))
    if rows.dtype.kind == "f":
        largest = float(np.abs(rows).max())
        if largest > 1:
            raise DataError(
                f"actions reach {largest:g} and their bounds are unknown: {_NAME_SPACE}"
            )
        notes.append(f"actions were taken for a Box of [-1, 1]: else {_NAME_SPACE}")
        low = (-1.0,) * int(np.prod(width))
        return ActionSpec(kind="box", shape=width, low=low, high=tuple(-x for x in low))
    if rows.min() < 0 or len(width) > 1:
        raise DataError(
            f"actions are {rows.dtype} {width} from {rows.min()}, which are no choices: "
            f"{_NAME_SPACE}, or store floats"
        )
    counts = tuple(int(n) for n in rows.max(axis=0).reshape(-1).astype(int) + 1)
    if max(counts) == 1:
        raise DataError(f"actions are all 0, which tells nothing of the choices: {_NAME_SPACE}")
    if max(counts) > _MOST_CHOICES:
        raise DataError(
            f"actions reach {max(counts) - 1:,}, and more than {_MOST_CHOICES:,} choices are not "
            f"guessed: {_NAME_SPACE}"
        )
    shown = counts[0] if len(counts) == 1 else list(counts)
    notes.append(f"actions were taken for {shown} choices, by the highest seen: else {_NAME_SPACE}")
    if len(counts) == 1:
        return ActionSpec(kind="discrete", nvec=counts)
    return ActionSpec(kind="multidiscrete", shape=width, nvec=counts)
