"""Live play is recorded as it happened, whatever shows the frames."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from worlds import tiny_world

import srvp_world  # noqa: F401  (registers the dream)
from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.observations import ExperienceConfig
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.record import RecordExperience
from srvp_world.errors import ConfigError, DataError, OutputError


class Count(gym.Env):
    """Frame t shows t, the reward of arriving there is t; it ends by itself at `length`."""

    def __init__(self, length=4, ending="terminated", dictionary=False):
        self._length, self._ending, self._dictionary = length, ending, dictionary
        image = spaces.Box(0, 255, (32, 32, 3), np.uint8)
        both = {"image": image, "vector": spaces.Box(-99, 99, (2,), np.float32)}
        self.observation_space = spaces.Dict(both) if dictionary else image
        self.action_space = spaces.Discrete(5)

    def _show(self):
        image = np.full((32, 32, 3), self._t, np.uint8)
        vector = np.full(2, self._t, np.float32)
        return {"image": image, "vector": vector} if self._dictionary else image

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        return self._show(), {"started": True}

    def step(self, action):
        self._t += 1
        done = self._t >= self._length
        return (
            self._show(),
            float(self._t),
            done and self._ending == "terminated",
            done and self._ending == "truncated",
            {"t": self._t},
        )


def play(env, steps, reset=True):
    if reset:
        env.reset(seed=0)
    for i in range(steps):
        env.step(i % 5)


def shown(folder):
    """(transitions, ending) of each episode, all of whose rows must belong together."""
    data, found = Dataset.open(folder), []
    for i in range(len(data)):
        episode = data.read(i)
        count = np.arange(len(episode.frames))
        np.testing.assert_array_equal(episode.frames[:, 5, 5, 0], count)
        np.testing.assert_array_equal(episode.actions, count[:-1] % 5)
        np.testing.assert_array_equal(episode.rewards, count[1:])
        if data.info.vector_dim:
            np.testing.assert_array_equal(episode.vector, count[:, None] + np.zeros((1, 2)))
        found.append((len(episode.actions), str(episode.ending)))
    return found


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_an_episode_is_recorded_to_its_end_and_no_further(tmp_path, ending):
    env = RecordExperience(Count(4, ending), tmp_path)
    play(env, 6)  # two steps beyond the end
    assert shown(tmp_path) == [(4, ending)]
    env.close()
    assert shown(tmp_path) == [(4, ending)]


def test_what_is_left_is_unfinished_and_what_never_began_is_nothing(tmp_path):
    env = RecordExperience(Count(), tmp_path)
    play(env, 2)
    env.reset()
    env.reset()  # leaves an episode without an action
    play(env, 3, reset=False)
    env.close()
    env.close()
    assert shown(tmp_path) == [(2, "unfinished"), (3, "unfinished")]


def refuse(env):
    with pytest.raises(DataError, match="step 4|step 1"):
        env.step(9)


def test_nothing_is_recorded_after_a_step_that_was_refused(tmp_path):
    env = RecordExperience(Count(9), tmp_path)
    play(env, 3)
    refuse(env)
    play(env, 5, reset=False)  # to the end, which the recording must not claim to have seen
    play(env, 2)
    env.close()
    assert shown(tmp_path) == [(3, "unfinished"), (2, "unfinished")]


def test_an_episode_whose_first_step_was_refused_is_nothing(tmp_path):
    env = RecordExperience(Count(9), tmp_path)
    env.reset(seed=0)
    refuse(env)
    play(env, 1, reset=False)
    play(env, 2)
    env.close()
    assert shown(tmp_path) == [(2, "unfinished")]


@pytest.mark.parametrize("retry", [lambda env: env.reset(seed=0), lambda env: env.close()])
def test_what_could_not_be_written_is_tried_again(tmp_path, retry):
    env = RecordExperience(Count(4), tmp_path / "data")
    play(env, 3)
    (tmp_path / "data").rename(tmp_path / "gone")
    with pytest.raises(OutputError):
        env.step(3)
    with pytest.raises(OutputError):
        retry(env)
    (tmp_path / "gone").rename(tmp_path / "data")
    retry(env)
    assert shown(tmp_path / "data") == [(4, "terminated")]


def test_the_env_itself_is_not_changed(tmp_path):
    plain, recorded = Count(), RecordExperience(Count(), tmp_path)
    assert recorded.reset(seed=3)[1] == plain.reset(seed=3)[1]
    for action in range(3):
        ours, theirs = recorded.step(action), plain.step(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_a_dict_gives_frames_and_vector(tmp_path):
    play(RecordExperience(Count(dictionary=True), tmp_path / "both"), 4)
    assert shown(tmp_path / "both") == [(4, "terminated")]
    assert Dataset.open(tmp_path / "both").info.vector_dim == 2
    config = ExperienceConfig(vector=(), channels=1)
    play(RecordExperience(Count(dictionary=True), tmp_path / "one", config), 4)
    assert shown(tmp_path / "one") == [(4, "terminated")]
    info = Dataset.open(tmp_path / "one").info
    assert (info.vector_dim, info.channels) == (0, 1)


def test_a_pixel_env_can_be_rebuilt_from_the_recording(tmp_path):
    pixels = PixelConfig(env_id="counter_world:Counter-v0", frame_size=32)
    env = RecordExperience(make_pixel_env(pixels), tmp_path / "data")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    assert Dataset.open(tmp_path / "data").info.pixels == pixels
    small = RecordExperience(
        make_pixel_env(pixels), tmp_path / "large", ExperienceConfig(frame_size=64)
    )
    small.close()


def test_recorders_share_a_folder_within_its_bound(tmp_path):
    envs = [RecordExperience(Count(4), tmp_path, max_transitions=12) for _ in range(2)]
    for _ in range(5):
        for env in envs:
            play(env, 4)
    assert shown(tmp_path) == [(4, "terminated")] * 3


def test_a_dream_is_recorded_as_a_real_env(tmp_path):
    dream = gym.make("SRVPDream-v0", world=tiny_world("box"), horizon=5)
    env = RecordExperience(dream, tmp_path)
    frames, actions, rewards = [env.reset(seed=0)[0]], [], []
    over = False
    while not over:
        actions.append(env.action_space.sample())
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        over = terminated or truncated
        frames.append(observation)
        rewards.append(reward)
    env.close()
    episode = Dataset.open(tmp_path).read(0)
    np.testing.assert_array_equal(episode.frames, frames)
    np.testing.assert_allclose(episode.actions, actions)
    np.testing.assert_allclose(episode.rewards, rewards, rtol=1e-6)
    assert str(episode.ending) == ("terminated" if terminated else "truncated")
    assert Dataset.open(tmp_path).info.source == "recorded in SRVPDream-v0"


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version")
def test_gymnasiums_checker_passes(tmp_path):
    check_env(RecordExperience(Count(20), tmp_path), skip_render_check=True)


def test_what_cannot_be_recorded_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="CartPole-v1 has no pixels, but observation float32"):
        RecordExperience(gym.make("CartPole-v1"), tmp_path / "data")
    with pytest.raises(ConfigError, match="max_transitions must be at least 1, got 0"):
        RecordExperience(Count(), tmp_path / "data", max_transitions=0)
    with pytest.raises(DataError, match="no key 'imag': did you mean 'image'"):
        config = ExperienceConfig(image="imag")
        RecordExperience(Count(dictionary=True), tmp_path / "data", config)
    assert not (tmp_path / "data").exists()


def test_a_recording_does_not_mix_with_another(tmp_path):
    RecordExperience(Count(), tmp_path).close()
    with pytest.raises(DataError, match="holds another data set"):
        RecordExperience(Count(dictionary=True), tmp_path)
