"""Which action, reward and end belong to which observation, in each autoreset mode."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from oracle import counting_world
from torch import Tensor

from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.errors import StateError


def as_numpy(value: np.ndarray | Tensor) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else value


class Reference:
    """One row of a counting dream, in plain Python."""

    def __init__(self, number: int, end: int, horizon: int):
        self.number, self.end, self.horizon, self.elapsed = number, end, horizon, 0

    def step(self, action: float) -> tuple[float, bool, bool]:
        self.number, self.elapsed = self.number + 1, self.elapsed + 1
        reward = 100 * self.number + action
        return reward, self.number == self.end, self.elapsed == self.horizon


def counted(steps: int, rows: int = 3) -> Iterator[np.ndarray]:
    """Yield actions that differ at every step and row."""
    for t in range(steps):
        yield (np.arange(rows, dtype=np.float32)[:, None] * 0.01 + 0.1 * t) - 4


ENDS = [{"end": 17, "horizon": 50}, {"end": -1, "horizon": 4}, {"end": 16, "horizon": 4}]


OUTPUTS = ["numpy", "torch"]


def counting(mode: str, output: str, end: int, horizon: int) -> DreamVectorEnv:
    """Dream of counting up from 10, 12 or 15."""
    dreamt = counting_world(10, 12, 15, end=end)
    return DreamVectorEnv(
        3, dreamt, obs="latent", horizon=horizon, autoreset_mode=mode, output=output
    )


def step(dream: DreamVectorEnv, actions: np.ndarray) -> tuple:
    out = dream.step(torch.tensor(actions) if dream.output == "torch" else actions)
    return (*(as_numpy(value) for value in out[:4]), out[4])


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("options", ENDS, ids=str)
def test_same_step_begins_anew_at_once_and_shows_the_last_observation(output: str, options: dict):
    dream = counting("SameStep", output, **options)
    observation, _ = dream.reset(seed=0)
    rows = [Reference(int(x), **options) for x in observation[:, 0]]
    ends = 0
    for actions in counted(20):
        observation, rewards, terminated, truncated, infos = step(dream, actions)
        for i, row in enumerate(rows):
            expected = row.step(actions[i, 0])
            np.testing.assert_allclose(rewards[i], expected[0], rtol=1e-6)
            assert (terminated[i], truncated[i]) == expected[1:]
            if any(expected[1:]):
                ends += 1
                assert infos["_final_obs"][i]
                assert infos["final_obs"][i][0] == row.number
                assert observation[i, 0] in (10, 12, 15)
                rows[i] = Reference(int(observation[i, 0]), **options)
            else:
                assert observation[i, 0] == row.number
                assert not (infos and infos["_final_obs"][i])
                assert output == "torch" or not infos or infos["final_obs"][i] is None
    assert ends > 5


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("options", ENDS, ids=str)
def test_next_step_begins_anew_one_step_later_and_ignores_the_action(output: str, options: dict):
    dream = counting("NextStep", output, **options)
    observation, _ = dream.reset(seed=0)
    rows: list[Reference | None] = [Reference(int(x), **options) for x in observation[:, 0]]
    begun = 0
    for actions in counted(20):
        observation, rewards, terminated, truncated, infos = step(dream, actions)
        idle = [row is None for row in rows]
        told = infos["_start"].tolist() if infos else [False] * 3
        assert told == (idle if output == "numpy" else [False] * 3)
        for i, row in enumerate(rows):
            if row is None:
                begun += 1
                assert (rewards[i], terminated[i], truncated[i]) == (0, False, False)
                assert observation[i, 0] in (10, 12, 15)
                rows[i] = Reference(int(observation[i, 0]), **options)
                continue
            expected = row.step(actions[i, 0])
            np.testing.assert_allclose(rewards[i], expected[0], rtol=1e-6)
            assert (terminated[i], truncated[i]) == expected[1:]
            assert observation[i, 0] == row.number
            rows[i] = None if any(expected[1:]) else row
    assert begun > 4


@pytest.mark.parametrize("options", ENDS, ids=str)
def test_without_autoreset_ended_rows_wait_for_a_reset(options: dict):
    dream = counting("Disabled", "numpy", **options)
    observation, _ = dream.reset(seed=0)
    rows = [Reference(int(x), **options) for x in observation[:, 0]]
    resets = 0
    for actions in counted(20):
        observation, rewards, terminated, truncated, infos = step(dream, actions)
        assert infos == {}
        for i, row in enumerate(rows):
            expected = row.step(actions[i, 0])
            np.testing.assert_allclose(rewards[i], expected[0], rtol=1e-6)
            assert (terminated[i], truncated[i]) == expected[1:]
            assert observation[i, 0] == row.number
        ended = terminated | truncated
        if ended.any():
            resets += 1
            with pytest.raises(StateError, match="have ended: reset them"):
                dream.step(actions)
            observation, _ = dream.reset(options={"reset_mask": ended})
            for i in np.flatnonzero(ended):
                assert observation[i, 0] in (10, 12, 15)
                rows[i] = Reference(int(observation[i, 0]), **options)
    assert resets > 2


def test_ends_are_drawn_as_often_as_the_world_says():
    options = {"obs": "latent", "horizon": 1000}
    for going_on, end, expected in [
        (0.8, "sample", 0.2),
        (0.8, "threshold", 0),
        (0.4, "sample", 0.6),
        (0.4, "threshold", 1),
    ]:
        dream = DreamVectorEnv(200, counting_world(1, going_on=going_on), end=end, **options)
        dream.reset(seed=0)
        ends = [dream.step(np.zeros((200, 1)))[2].mean() for _ in range(20)]
        assert abs(np.mean(ends) - expected) < 0.02


def test_staggered_dreams_do_not_end_together():
    dream = DreamVectorEnv(8, counting_world(1), obs="latent", horizon=8, stagger=True)
    dream.reset(seed=0)
    ends = np.stack([dream.step(np.zeros((8, 1)))[3] for _ in range(24)])
    assert not ends[0].any(), "no dream ends with its first step"
    assert ends.sum(1).max() <= 2
    assert (ends.sum(0) == 3).all()
    dream.reset(options={"reset_mask": np.arange(8) == 6})
    assert dream.elapsed[6] == 0
    alike = DreamVectorEnv(8, counting_world(1), obs="latent", horizon=8)
    alike.reset(seed=0)
    ends = np.stack([alike.step(np.zeros((8, 1)))[3] for _ in range(24)])
    assert ends.all(1).sum() == 3


def test_what_you_do_with_an_array_does_not_touch_the_dream():
    dream = counting("Disabled", "numpy", end=-1, horizon=9)
    mask = np.ones(3, bool)
    observation, infos = dream.reset(seed=0, options={"reset_mask": mask})
    before = observation.copy()
    observation[:] = infos["_start"][:] = 0
    assert mask.all()
    observation, *_ = dream.step(np.zeros((3, 1)))
    np.testing.assert_array_equal(observation, before + 1)
