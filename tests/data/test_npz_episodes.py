"""npz files of every timing, with frames that tell where they belong.

Frame t shows t; the action between the frames t and t+1 is (t+1) / 20, the reward of arriving at t
is t.
"""

import numpy as np
import pytest
from gymnasium import spaces

from srvp_world.data.dataset import Dataset
from srvp_world.data.experience import ExperienceConfig, from_npz
from srvp_world.errors import DataError, SRVPWorldError
from srvp_world.spaces import ActionSpec


def frames(count, first=0):
    shape = (count, 32, 32, 3)
    return np.broadcast_to(np.arange(first, first + count)[:, None, None, None], shape).astype("u1")


def between(start, stop):
    """(T, 1) actions and (T,) rewards between the frames [start, stop)."""
    t = np.arange(start + 1, stop, dtype=np.float32)
    return t[:, None] / 20, t


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


def bring(source, tmp_path, **settings):
    result = from_npz(source, tmp_path / "data", progress=False, **settings)
    return result, Dataset.open(tmp_path / "data")


def shown(data):
    """(first frame, last frame, ending, part) of each, whose actions and rewards must be right."""
    found = []
    for i in range(len(data)):
        episode = data.read(i)
        values = episode.frames[:, 0, 0, 0].astype(int)
        actions, rewards = between(values[0], values[-1] + 1)
        np.testing.assert_allclose(episode.actions, actions)
        np.testing.assert_array_equal(episode.rewards, rewards)
        found.append((values[0], values[-1], str(episode.ending), episode.part))
    return sorted(found)


def gymnasium(**more):
    actions, rewards = between(0, 6)
    return {"observations": frames(6), "actions": actions, "rewards": rewards, **more}


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
    assert shown(data) == [(0, 5, "unfinished", 0)] and result.present == 1  # they are the same


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


def test_an_episode_that_breaks_is_left_out_and_the_others_go_on(tmp_path):
    np.savez(tmp_path / "a.npz", **gymnasium())
    broken = gymnasium()
    broken["rewards"][2] = np.nan
    np.savez(tmp_path / "b.npz", **broken)
    result, data = bring([tmp_path / "a.npz", tmp_path / "b.npz"], tmp_path)
    assert len(data) == 1 and "b.npz: rewards row 2 is NaN" in result.skipped[0][1]
    with pytest.raises(DataError, match="rewards row 2 is NaN"):
        from_npz(tmp_path / "b.npz", tmp_path / "other", progress=False)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"image": frames(4)}, "has no actions, but image: videos"),
        ({"action": np.zeros((4, 1)), "state": np.zeros((5, 3))}, "has no pixels, but state"),
        ({"image": frames(4), "action": np.zeros((9, 1))}, "4 frames and 9 actions"),
        (gymnasium(terminated=np.zeros(3, bool)), "3 terminated: there must be 5"),
        (gymnasium(done=np.array([0, 1, 0, 0, 0])), "goes on after done in row 1"),
        (gymnasium(image=frames(6)), "images under observations, image: name one"),
        (gymnasium() | {"observations": frames(6) / 255}, "of float64: store it as uint8"),
        (
            gymnasium() | {"actions": between(0, 6)[0] * 18},
            "reach 4.5 and their bounds are unknown",
        ),
        (gymnasium() | {"actions": -np.arange(5)}, "which are no choices"),
        (gymnasium() | {"actions": np.array(list("abcde"))}, "actions are"),
        ({"image": np.array([None]), "action": np.zeros(3)}, "Python objects"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SRVPWorldError, match=words) as refused:
        bring(tmp_path / "a.npz", tmp_path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()


def test_broken_files_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", **gymnasium())
    content = (tmp_path / "a.npz").read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 30):
        (tmp_path / "a.npz").write_bytes(content[:cut])
        with pytest.raises(DataError, match="a.npz is truncated or no npz file"):
            bring(tmp_path / "a.npz", tmp_path)


@pytest.mark.parametrize("name", ["model.zip", "buffer.pkl", "episodes.pt"])
def test_pickles_are_refused_by_name_with_the_way_within_the_program(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(DataError, match=rf"{name} would have .*from_sb3\(model.replay_buffer"):
            bring(source, tmp_path)
