"""npz files of every timing, and of actions and images of many kinds."""

import numpy as np
import pytest
from gymnasium import spaces
from npz_rows import between, bring, frames, gymnasium, several, shown

from srvp_world.data.experience import ExperienceConfig, from_npz
from srvp_world.errors import DataError
from srvp_world.spaces import ActionSpec


def arrival(start=0, stop=6):
    """As dreamerv3-torch stores an episode: zeros first."""
    actions, rewards = between(start, stop)
    count = stop - start
    return {
        "image": frames(count, start),
        "action": np.concatenate([np.zeros((1, 1), np.float32), actions]),
        "reward": np.concatenate([[0.0], rewards]),
        "is_first": np.arange(count) == 0,
        "is_last": np.arange(count) == count - 1,
        "is_terminal": np.zeros(count, bool),
    }


def dreamerv3(start=0, stop=6):
    """As dreamerv3 stores it: the last action is zeros, the first reward, too."""
    episode = arrival(start, stop)
    return episode | {"action": np.roll(episode["action"], -1, axis=0)}


def save(path, *episodes, **more):
    arrays = {key: np.concatenate([each[key] for each in episodes]) for key in episodes[0]}
    np.savez(path, **arrays, **more)
    return path


@pytest.mark.parametrize(
    ("flags", "ending"),
    [
        ({}, "unfinished"),
        ({"terminated": [0, 0, 0, 0, 1]}, "terminated"),
        ({"terminations": [0, 0, 0, 0, 0, 1]}, "terminated"),  # of the frames, not of the steps
        ({"terminated": [0] * 5, "truncated": [0, 0, 0, 0, 1]}, "truncated"),
        ({"done": [0, 0, 0, 0, 1]}, "terminated"),
        ({"done": [0, 0, 0, 0, 1], "truncated": [0, 0, 0, 0, 1]}, "truncated"),
    ],
)
def test_one_action_less_than_frames_needs_no_convention(tmp_path, flags, ending):
    more = {key: np.array(value, bool) for key, value in flags.items()}
    np.savez(tmp_path / "a.npz", **gymnasium(**more))
    result, data = bring(tmp_path / "a.npz", tmp_path)
    assert shown(data) == [(0, 5, ending, 0)]
    assert data.info.action == ActionSpec.from_space(spaces.Box(-1, 1, (1,), np.float32))
    assert any("`done` was taken" in note for note in result.notes) == (list(flags) == ["done"])


@pytest.mark.parametrize("episode", [arrival, dreamerv3])
def test_the_convention_is_found_by_the_rows_that_begin_and_end(tmp_path, episode):
    ended = episode(0, 6)
    ended["is_terminal"][-1] = True
    path = save(tmp_path / "a.npz", ended, episode(10, 14))
    result, data = bring(path, tmp_path)
    assert shown(data) == [(0, 5, "terminated", 0), (10, 13, "truncated", 0)]
    assert any(f"timed by {episode.__name__}" in note for note in result.notes)


def test_a_chunk_that_begins_in_an_episode_is_a_later_part(tmp_path):
    chunk = {key: array[2:] for key, array in dreamerv3(0, 6).items()}
    path = save(tmp_path / "a.npz", chunk, dreamerv3(10, 14))
    assert shown(bring(path, tmp_path)[1]) == [(2, 5, "truncated", 1), (10, 13, "truncated", 0)]


@pytest.mark.parametrize(
    ("episode", "convention", "problem"),
    [
        (arrival, "dreamerv3", "row 5 ends an episode, but its action is not 0"),
        (dreamerv3, "arrival", "row 0 begins an episode, but its action is not 0"),
        (arrival, "departure", "seem to be arrivals"),
    ],
)
def test_a_convention_that_the_flags_contradict_is_refused(tmp_path, episode, convention, problem):
    path = save(tmp_path / "a.npz", episode(0, 6), episode(10, 14))
    with pytest.raises(DataError, match=f"not timed by {convention}: .*{problem}"):
        bring(path, tmp_path, convention=convention)
    assert not (tmp_path / "data").exists()


def test_without_flags_the_convention_must_be_named(tmp_path):
    rows = {key: arrival()[key] for key in ("image", "action", "reward")}
    path = save(tmp_path / "a.npz", rows)
    with pytest.raises(DataError, match="--convention arrival, departure or dreamerv3"):
        bring(path, tmp_path)
    assert shown(bring(path, tmp_path, convention="arrival")[1]) == [(0, 5, "unfinished", 0)]


def test_departure_drops_what_leads_out_of_the_file(tmp_path):
    actions, rewards = between(0, 7)
    done = np.array([0, 0, 0, 0, 0, 1], bool)
    episode = {"image": frames(6), "action": actions, "reward": rewards, "terminals": done}
    path = save(tmp_path / "a.npz", episode, episode)
    with pytest.warns(UserWarning, match="with departure, what an episode's last action led to"):
        result, data = bring(path, tmp_path, convention="departure")
    assert shown(data) == [(0, 5, "unfinished", 0)] and (result.copies, result.present) == (1, 0)


def test_zeros_everywhere_are_no_evidence(tmp_path):
    rows = arrival() | {"action": np.zeros((6, 1), np.float32), "reward": np.zeros(6)}
    with pytest.raises(DataError, match="both arrival and dreamerv3 fit"):
        bring(save(tmp_path / "a.npz", rows), tmp_path)


def actions_of(tmp_path, actions, **settings):
    np.savez(tmp_path / "a.npz", image=frames(len(actions) + 1), action=actions)
    result, data = bring(tmp_path / "a.npz", tmp_path, **settings)
    return data.info.action, data.read(0).actions, result


def test_one_hot_actions_become_choices(tmp_path):
    spec, actions, result = actions_of(tmp_path, np.eye(4, dtype=np.float32)[[3, 0, 2, 2]])
    assert (spec.kind, spec.nvec) == ("discrete", (4,))
    assert actions.tolist() == [3, 0, 2, 2]
    assert any("4 choices" in note for note in result.notes)


def test_whole_numbers_are_choices_of_which_the_highest_is_seen_or_named(tmp_path):
    (tmp_path / "one").mkdir()
    spec, _, result = actions_of(tmp_path / "one", np.array([0, 2, 1]))
    assert spec.nvec == (3,) and any("by the highest seen" in note for note in result.notes)
    spec, _, _ = actions_of(tmp_path, np.array([0, 2, 1]), action_space=spaces.Discrete(5))
    assert spec.nvec == (5,)


def test_one_hot_actions_that_are_a_box_stay_one(tmp_path):
    space = spaces.Box(0, 1, (2,), np.float32)
    spec, actions, _ = actions_of(tmp_path, np.eye(2)[[0, 1, 1]], action_space=space)
    assert spec.kind == "box" and actions.shape == (3, 2)


def test_bounds_for_each_component(tmp_path):
    space = spaces.Box(-2, 2, (), np.float32)
    spec, _, _ = actions_of(tmp_path, np.full((3, 2), 1.5), action_space=space)
    assert (spec.low, spec.high) == ((-2.0, -2.0), (2.0, 2.0))


def test_images_of_any_size_and_layout(tmp_path):
    images = np.zeros((4, 3, 40, 80), np.uint8)
    images[:, 0, :, 40:] = 255  # red on the right
    np.savez(tmp_path / "a.npz", obs=images, action=np.zeros((3, 1)), state=np.ones((4, 2)))
    config = ExperienceConfig(frame_size=32, vector=("state",))
    _, data = bring(tmp_path / "a.npz", tmp_path, config=config)
    episode = data.read(0)
    assert episode.frames[0, 16].tolist() == [[0, 0, 0]] * 16 + [[255, 0, 0]] * 16
    assert episode.vector.tolist() == [[1.0, 1.0]] * 4 and episode.rewards is None


def test_of_stacked_images_the_newest_is_kept(tmp_path):
    stacked = np.stack([np.roll(frames(6)[..., 0], k, axis=0) for k in (3, 2, 1, 0)], axis=-1)
    np.savez(tmp_path / "a.npz", obs=stacked, action=between(0, 6)[0], reward=between(0, 6)[1])
    with pytest.raises(DataError, match="how many images are stacked"):
        bring(tmp_path / "a.npz", tmp_path)
    _, data = bring(tmp_path / "a.npz", tmp_path, config=ExperienceConfig(stack=4))
    assert shown(data) == [(0, 5, "unfinished", 0)] and data.info.channels == 1


def test_a_long_episode_is_cut_into_parts(tmp_path):
    count = 2300
    small = np.zeros((count + 1, 32, 32), np.uint8)
    np.savez(tmp_path / "a.npz", frames=small, actions=np.arange(count)[:, None] / count)
    _, data = bring(tmp_path / "a.npz", tmp_path)
    assert [(r.part, r.frames) for r in data.records] == [(0, 1001), (1, 1001), (2, 301)]
    rows = np.concatenate([data.read(i).actions[:, 0] for i in range(3)])
    np.testing.assert_allclose(rows, np.arange(count) / count, rtol=1e-6)


def test_an_import_that_was_stopped_goes_on(tmp_path):
    small = np.zeros((1501, 32, 32), np.uint8)
    np.savez(tmp_path / "a.npz", frames=small, actions=np.arange(1500)[:, None] / 1500)
    bring(tmp_path / "a.npz", tmp_path)
    first = next((tmp_path / "data").glob("*part000*"))
    first.unlink()  # it is written last
    result, data = bring(tmp_path / "a.npz", tmp_path)
    assert (result.episodes, result.present, len(data)) == (1, 0, 2)
    assert first.exists()
    assert bring(tmp_path / "a.npz", tmp_path)[0].present == 1


def test_arrays_of_other_lengths_are_left_out_and_told(tmp_path):
    speed, state = np.zeros((5, 2)), np.zeros((6, 2))
    (path,) = several(tmp_path, a=gymnasium(speed=speed, state=state))
    assert bring(path, tmp_path)[0].notes[-1] == "left out: speed, state of the observations"
    with pytest.raises(DataError, match="'speed' has 5 rows beside 6 frames: store a row for each"):
        from_npz(path, tmp_path / "other", ExperienceConfig(vector=("speed",)), progress=False)


@pytest.mark.parametrize(("length", "begins"), [(5, True), (6, True), (6, False)])
def test_flags_of_frames_and_of_steps_may_stand_beside_one_action_less(tmp_path, length, begins):
    rows = np.arange(length)
    flags = {"is_first": (rows == 0) & begins, "is_last": rows == length - 1}
    (path,) = several(tmp_path, a=gymnasium(**flags))
    if begins:
        assert shown(bring(path, tmp_path)[1]) == [(0, 5, "truncated", 0)]
        return
    with pytest.warns(UserWarning, match="holds no beginning of an episode, from which dreams"):
        _, data = bring(path, tmp_path)
    assert shown(data) == [(0, 5, "truncated", 1)]


def test_an_import_into_a_folder_takes_the_actions_of_the_folder(tmp_path):
    first, second = several(
        tmp_path,
        a=gymnasium() | {"actions": np.array([0, 3, 1, 2, 0])},
        b=gymnasium() | {"actions": np.array([0, 1, 1, 1, 0])},
    )
    bring(first, tmp_path)
    result, data = bring(second, tmp_path)
    assert len(data) == 2 and data.info.action.nvec == (4,) and result.notes == ()


def test_thousands_of_choices_are_not_guessed(tmp_path):
    (path,) = several(tmp_path, a=gymnasium() | {"actions": np.array([0, 1000, 1, 2, 0])})
    with pytest.raises(DataError, match="actions reach 1,000, .* --action-choices N"):
        bring(path, tmp_path)
    assert bring(path, tmp_path, action_space=spaces.Discrete(1001))[0].transitions == 5
