"""Actions survive the way from a space to a vector, and those outside their space do not."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from srvp_world.errors import SpaceError
from srvp_world.spaces import ActionSpec

SPACES = [
    Box(-2.0, 2.0, (1,)),
    Box(np.array([[-1, 0], [2, 3]], np.float32), np.array([[1, 5], [3, 9]], np.float32)),
    Box(0.1, 0.7, ()),
    Discrete(4),
    MultiDiscrete([3, 2, 5]),
    MultiBinary(4),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_spaces_survive(space: gym.Space):
    spec = ActionSpec.from_space(space)
    assert spec.space == space
    assert ActionSpec.from_space(spec.space) == spec
    space.seed(0)
    actions = np.stack([space.sample() for _ in range(50)])
    spec.check(actions)
    assert np.can_cast(actions.dtype, spec.dtype)  # bits are int8 there, and int64 on disk
    vectors = spec.encode(torch.as_tensor(actions))
    assert vectors.shape == (50, spec.width)
    assert vectors.dtype == torch.float32
    assert len({tuple(vector) for vector in vectors.tolist()}) == len(
        {tuple(np.ravel(action).tolist()) for action in actions}
    )
    deep = spec.encode(torch.as_tensor(actions.reshape(5, 10, *spec.shape)))
    assert torch.equal(deep.reshape(50, -1), vectors)
    assert spec.encode(torch.as_tensor(actions[:0])).shape == (0, spec.width)


def test_boxes_become_symmetric_and_choices_one_hot():
    box = ActionSpec.from_space(Box(np.float32([-2, 0]), np.float32([2, 10])))
    given = torch.tensor([[-2.0, 0], [2, 10], [0, 5], [1, 0]])
    expected = torch.tensor([[-1.0, -1], [1, 1], [0, 0], [0.5, -1]])
    torch.testing.assert_close(box.encode(given), expected)
    torch.testing.assert_close(box.encode(given.long()), expected)
    discrete = ActionSpec.from_space(Discrete(3))
    assert discrete.encode(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    several = ActionSpec.from_space(MultiDiscrete([2, 3]))
    assert several.encode(torch.tensor([1, 0])).tolist() == [0, 1, 1, 0, 0]
    bits = ActionSpec.from_space(MultiBinary(3))
    for given in (torch.tensor([1, 0, 1]), torch.tensor([1.0, 0, 1]), torch.tensor([True, 0, 1])):
        assert bits.encode(given).tolist() == [1, -1, 1]


def test_bounds_between_whole_numbers_hold_for_whole_actions():
    box = ActionSpec.from_space(Box(-2.5, 2.5, (1,)))
    torch.testing.assert_close(box.encode(torch.tensor([[1]])), torch.tensor([[0.4]]))


UNSUPPORTED = [
    (Box(-np.inf, 1, (2,)), "is unbounded: wrap the env in .*RescaleAction"),
    (Box(np.float32([0, 1]), np.float32([1, 1])), "components without a choice"),
    (Discrete(3, start=1), "must start at 0"),
    (MultiDiscrete([[2, 3], [2, 3]]), "is not supported"),
    (MultiDiscrete([2, 3], start=[1, 0]), "is not supported"),
    (MultiBinary([2, 3]), "is not supported: use Box, .* or one-dimensional MultiBinary"),
    (Dict({"a": Discrete(2)}), "is not supported"),
]


@pytest.mark.parametrize(("space", "reason"), UNSUPPORTED, ids=lambda x: str(x)[:20])
def test_other_spaces_are_refused(space: gym.Space, reason: str):
    with pytest.raises(SpaceError, match=reason):
        ActionSpec.from_space(space)


BOX, DISCRETE, SEVERAL = Box(-2.0, 1.0, (2,)), Discrete(3), MultiDiscrete([3, 2])
BITS = MultiBinary(2)
OUTSIDE = [
    (BOX, np.float32([[0, 0], [0, 1.5]]), r"actions row 1 holds 1.5, outside \[-2.0003, 1.0003\]"),
    (BOX, np.float32([[np.nan, 0]]), "row 0 holds nan"),
    (BOX, np.float32([[0, -np.inf]]), "row 0 holds -inf"),
    (BOX, np.float32([[0, 0, 0]]), r"have shape \(3,\) each, but the space wants \(2,\)"),
    (BOX, np.float32(0), "have shape"),
    (BOX, np.array([["a", "b"]]), "actions are <U1"),
    (DISCRETE, np.array([0, 3]), r"row 1 holds 3, outside \[0, 2\]"),
    (DISCRETE, np.array([-1]), "row 0 holds -1"),
    (DISCRETE, np.array([0.5]), "actions are float64, but the action space wants int64"),
    (DISCRETE, np.array([[1]]), "have shape"),
    (DISCRETE, np.array(1), "have shape"),
    (SEVERAL, np.array([[2, 1], [1, 2]]), r"row 1 holds 2, outside \[0, 1\]"),
    (BITS, np.array([[0, 1], [0, 2]]), r"row 1 holds 2, outside \{0, 1\}"),
    (BITS, np.array([[0.5, 1]]), r"row 0 holds 0.5, outside \{0, 1\}"),
    (BITS, np.array([[np.nan, 1]]), "row 0 holds nan"),
    (BITS, np.array([["a", "b"]]), "actions are <U1"),
]


@pytest.mark.parametrize(("space", "actions", "reason"), OUTSIDE)
def test_actions_outside_are_refused(space: gym.Space, actions: np.ndarray, reason: str):
    with pytest.raises(SpaceError, match=reason):
        ActionSpec.from_space(space).check(actions)


def test_rounding_at_the_bounds_is_forgiven():
    spec = ActionSpec.from_space(BOX)
    spec.check(np.float32([[np.nextafter(np.float32(1), np.float32(2)), -2.0001]]))


@pytest.mark.parametrize("actions", [np.int8, np.float32, bool])
def test_bits_come_in_every_dtype(actions: type):
    ActionSpec.from_space(BITS).check(np.array([[0, 1], [1, 1]], actions))


@pytest.mark.parametrize("space", [DISCRETE, SEVERAL, BITS], ids=str)
def test_choices_that_do_not_exist_have_no_vector(space: gym.Space):
    spec = ActionSpec.from_space(space)
    with pytest.raises(SpaceError, match="actions lie outside"):
        spec.encode(torch.full((4, *spec.shape), 3))
