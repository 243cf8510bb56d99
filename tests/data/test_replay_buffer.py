"""SB3's own buffers, filled as its algorithms fill them, with frames that tell where they belong.

Frame t of episode e shows 10 e + t; the action taken there is (10 e + t) / 100, and the reward for
arriving at frame t is 10 e + t.
"""

import tracemalloc

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import (
    DictReplayBuffer,
    DictRolloutBuffer,
    ReplayBuffer,
    RolloutBuffer,
)

from srvp_world.data import replay_buffer
from srvp_world.data.dataset import Dataset
from srvp_world.data.experience import ExperienceConfig, from_sb3
from srvp_world.data.report import report
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec

IMAGE = spaces.Box(0, 255, (1, 32, 32), np.uint8)  # as VecTransposeImage shows it
STEER = spaces.Box(0.0, 4.0, (1,), np.float32)
TORN = "cut there"


def frame(value):
    return np.full(IMAGE.shape, value, np.uint8)


def steps(episodes):
    """Yield (frame before, frame after, action, reward, done, timed out) of (length, end)s."""
    for e, (length, end) in enumerate(episodes):
        for t in range(length):
            value = 10 * e + t
            done = t == length - 1 and end is not None
            yield value, value + 1, value / 100, value + 1, done, done and end == "truncated"


def fill(buffer, *envs):
    """Add the steps of each env, side by side."""
    for rows in zip(*(steps(episodes) for episodes in envs), strict=True):
        before, after, action, reward, done, timed_out = map(np.array, zip(*rows, strict=True))
        scaled = action[:, None] / 2 - 1  # of [0, 4], as SB3 stores it
        if isinstance(buffer.action_space, spaces.Discrete):
            scaled = (before % 3)[:, None]
        show = np.stack
        seen, following = (show([frame(v) for v in part]) for part in (before, after))
        if isinstance(buffer.observation_space, spaces.Dict):
            seen, following = (
                {"camera": images, "speed": np.float32(part)[:, None]}
                for images, part in ((seen, before), (following, after))
            )
        infos = [{"TimeLimit.truncated": bool(flag)} for flag in timed_out]
        buffer.add(seen, following, scaled, reward, done, infos)
    return buffer


def replay(size, *envs, space=IMAGE, actions=STEER, cls=ReplayBuffer, **settings):
    return fill(cls(size, space, actions, "cpu", n_envs=len(envs), **settings), *envs)


def bring(source, tmp_path, **settings):
    result = from_sb3(source, tmp_path / "data", progress=False, **settings)
    data = Dataset.open(tmp_path / "data")
    return result, data


def shown(data):
    """(first frame, last frame, ending, part) of each file, by the first frame."""
    found = []
    for i in range(len(data)):
        episode = data.read(i)
        values = episode.frames[:, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(values, np.arange(values[0], values[-1] + 1))
        np.testing.assert_allclose(episode.actions[:, 0], values[:-1] / 100, atol=1e-6)
        np.testing.assert_array_equal(episode.rewards, values[1:])
        found.append((values[0], values[-1], str(episode.ending), episode.part))
    return sorted(found)


ENV = [(3, "terminated"), (2, "truncated"), (4, None)]
WHOLE = [(0, 3, "terminated", 0), (10, 12, "truncated", 0), (20, 24, "unfinished", 0)]


def test_a_replay_buffer_becomes_its_episodes(tmp_path):
    result, data = bring(replay(50, ENV), tmp_path)
    assert shown(data) == WHOLE
    assert (result.episodes, result.transitions, result.warnings) == (3, 9, ())
    assert data.info.frame_shape == (32, 32, 1) and data.info.rewards
    assert data.info.action == ActionSpec.from_space(STEER)


def test_envs_side_by_side_are_told_apart(tmp_path):
    other = [(1, "truncated"), (5, "terminated"), (3, "terminated")]
    assert shown(bring(replay(50, ENV, other), tmp_path)[1]) == sorted(
        [*WHOLE, (0, 1, "truncated", 0), (10, 15, "terminated", 0), (20, 23, "terminated", 0)]
    )


def test_a_ring_that_wrapped_begins_with_a_later_part(tmp_path):
    _, data = bring(replay(7, ENV), tmp_path)  # the first two of nine steps are gone
    assert shown(data) == [(2, 3, "terminated", 1), *WHOLE[1:]]
    wrong = report(tmp_path / "data", progress=False)[tmp_path / "data"].wrong
    assert not [line for line in wrong if "misses part" in line]


def test_the_oldest_step_of_a_full_ring_never_begins_an_episode(tmp_path):
    """Nobody knows what was before it, even where it did begin one."""
    assert shown(bring(replay(6, ENV), tmp_path)[1]) == [(10, 12, "truncated", 1), WHOLE[2]]


def test_an_overwriting_buffer_loses_what_ends_led_to(tmp_path):
    settings = {"optimize_memory_usage": True, "handle_timeout_termination": False}
    with pytest.warns(UserWarning, match="overwrites the last observation"):
        _, data = bring(replay(50, ENV, **settings), tmp_path)
    assert shown(data) == [(0, 2, "unfinished", 0), (10, 11, "unfinished", 0), WHOLE[2]]


def test_a_full_overwriting_buffer_loses_its_oldest_observation(tmp_path):
    settings = {"optimize_memory_usage": True, "handle_timeout_termination": False}
    with pytest.warns(UserWarning, match="overwrites"):
        _, data = bring(replay(9, ENV, **settings), tmp_path)
    assert shown(data) == [(1, 2, "unfinished", 1), (10, 11, "unfinished", 0), WHOLE[2]]


def test_a_done_that_may_be_a_time_limit_is_asked_for(tmp_path):
    buffer = replay(50, ENV, handle_timeout_termination=False)
    with pytest.raises(DataError, match="done='terminated' or done='truncated'"):
        bring(buffer, tmp_path)
    assert not (tmp_path / "data").exists()
    _, data = bring(buffer, tmp_path, done="truncated")
    assert [ending for _, _, ending, _ in shown(data)] == ["truncated", "truncated", "unfinished"]


def test_steps_that_do_not_follow_each_other_are_cut_and_told(tmp_path):
    buffer = replay(50, [(9, "terminated")])
    buffer.observations[4:] += 100  # as after another learn(), which resets the env
    buffer.next_observations[4:] += 100
    with pytest.warns(UserWarning, match="1 of 8 steps are not followed .* cut there"):
        _, data = bring(buffer, tmp_path)
    parts = sorted((data.read(i).frames[:, 0, 0, 0].tolist(), data.read(i).part) for i in (0, 1))
    assert parts == [([0, 1, 2, 3, 4], 0), ([104, 105, 106, 107, 108, 109], 1)]


def test_steps_are_compared_block_by_block_and_each_with_the_next(monkeypatch):
    """Whatever the blocks are, a tear is found where it is."""
    for torn in range(8):
        buffer = replay(50, [(9, "terminated")])
        buffer.observations[torn + 1] += 100
        for size in (1, 2, 4, 8, 1000):
            monkeypatch.setattr(replay_buffer, "_BLOCK", size)
            follows = replay_buffer._follow(replay_buffer._replay_steps(buffer, 0, 9, None, []))
            assert np.flatnonzero(~follows).tolist() == [torn, 8]


def test_memory_is_that_of_an_episode_and_not_of_the_buffer(monkeypatch):
    monkeypatch.setattr(replay_buffer, "_BLOCK", 16)
    buffer = replay(2000, [(20, "terminated")] * 10)
    source = replay_buffer.sb3_source(buffer)
    tracemalloc.start()
    for _ in source.episodes:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < buffer.observations[:200].nbytes


def test_a_buffer_of_steps_in_any_order_is_refused(tmp_path):
    buffer = replay(50, [(9, "terminated")])
    order = np.random.default_rng(0).permutation(9)
    buffer.observations[:9] = buffer.observations[order]
    with pytest.raises(DataError, match="holds no episodes"):
        bring(buffer, tmp_path)


def test_of_a_dict_the_image_and_the_vector_are_taken(tmp_path):
    space = spaces.Dict({"camera": IMAGE, "speed": spaces.Box(-9, 9, (1,), np.float32)})
    buffer = replay(50, ENV, space=space, cls=DictReplayBuffer)
    result, data = bring(buffer, tmp_path, config=ExperienceConfig(vector=("speed",)))
    assert shown(data) == WHOLE and result.notes == ()
    first = next(data.read(i) for i in range(3) if not data.read(i).frames[0].any())
    np.testing.assert_array_equal(first.vector, [[0], [1], [2], [3]])
    result = from_sb3(buffer, tmp_path / "without", progress=False)
    assert result.notes == ("left out: speed of the observations",)


def test_choices_stay_whole(tmp_path):
    _, data = bring(replay(50, ENV, actions=spaces.Discrete(3)), tmp_path)
    first = next(data.read(i) for i in range(3) if not data.read(i).frames[0].any())
    assert first.actions.tolist() == [0, 1, 2] and first.actions.dtype == np.int64


def test_actions_that_are_not_scaled_are_noticed_or_taken_as_they_are(tmp_path):
    buffer = replay(50, ENV)
    buffer.actions[:] = (buffer.actions + 1) * 2 + 2
    with pytest.raises(DataError, match="scaled_actions=False"):
        bring(buffer, tmp_path)
    _, data = bring(buffer, tmp_path, scaled_actions=False)
    np.testing.assert_allclose(data.read(0).actions.min(), 2, atol=0.3)


def rollout(cls=RolloutBuffer, space=IMAGE, flatten=False):
    buffer = cls(6, space, STEER, "cpu", n_envs=2)
    one, two = list(steps([(2, "terminated"), (4, None)])), list(steps([(6, "truncated")]))
    begins = {0: [1, 1], 2: [1, 0]}
    for t, rows in enumerate(zip(one, two, strict=True)):
        seen = np.stack([frame(row[0]) for row in rows])
        seen = {"camera": seen} if isinstance(space, spaces.Dict) else seen
        action = np.array([[row[2]] for row in rows])
        reward = np.array([row[3] + 99 * row[4] for row in rows])  # the bootstrap, at ends
        zeros = torch.zeros(2)
        buffer.add(seen, action, reward, np.array(begins.get(t, [0, 0])), zeros, zeros)
    if flatten:
        next(buffer.get(4))
    return buffer


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize(
    ("cls", "space"),
    [(RolloutBuffer, IMAGE), (DictRolloutBuffer, spaces.Dict({"camera": IMAGE}))],
)
def test_a_rollout_buffer_loses_each_last_step(tmp_path, cls, space, flatten):
    with pytest.warns(UserWarning, match="bootstrapped value"):
        _, data = bring(rollout(cls, space, flatten), tmp_path)
    assert shown(data) == [
        (0, 1, "unfinished", 0),
        (0, 5, "unfinished", 0),
        (10, 13, "unfinished", 0),
    ]


def test_what_is_no_buffer_or_empty_or_without_pixels_is_refused(tmp_path):
    with pytest.raises(DataError, match="a str is no model or buffer"):
        bring("model.zip", tmp_path)
    with pytest.raises(DataError, match="ReplayBuffer is empty: let the model learn"):
        bring(ReplayBuffer(5, IMAGE, STEER, "cpu"), tmp_path)
    flat = ReplayBuffer(5, spaces.Box(-1, 1, (3,), np.float32), STEER, "cpu")
    for value in range(4):
        flat.add(
            np.full((1, 3), value), np.full((1, 3), value + 1), np.zeros((1, 1)), [0], [False], [{}]
        )
    with pytest.raises(DataError, match=r"has no pixels, but observation float32 \(3,\)"):
        bring(flat, tmp_path)
    assert not (tmp_path / "data").exists()


def test_importing_again_adds_only_what_is_new(tmp_path):
    buffer = replay(50, ENV[:2])
    bring(buffer, tmp_path)
    result, data = bring(replay(50, ENV), tmp_path)
    assert (result.episodes, result.present, len(data)) == (1, 2, 3)
