"""One dream as a Gymnasium environment."""

import json
import pickle
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from oracle import counting_world
from worlds import KINDS, tiny_model, tiny_world

from srvp_world import checkpoint
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.single import DreamEnv
from srvp_world.errors import ConfigError, SpaceError, StateError, WorldFileError


@pytest.fixture(scope="module", params=["none", *KINDS])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("worlds")
    return str(tiny_world(request.param).save(folder / f"{request.param}.safetensors"))


def test_specs_survive_json(path: str):
    env = gym.make("SRVPDream-v0", world=path, obs="latent", horizon=5)
    text = env.spec.to_json()
    assert json.loads(text)["kwargs"] == {"world": path, "obs": "latent", "horizon": 5}
    again = gym.make(gym.envs.registration.EnvSpec.from_json(text))
    assert again.observation_space == env.observation_space
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])


def test_the_module_may_be_part_of_the_name(path: str):
    env = gym.make("srvp_world:SRVPDream-v0", world=path)
    assert env.reset(seed=0)[0] in env.observation_space


def test_no_argument_opens_the_world_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    world = tiny_world("box")
    world.save(tmp_path / f"{checkpoint.DEFAULT_WORLD}.safetensors")
    assert gym.make("SRVPDream-v0").unwrapped.world.fingerprint == world.fingerprint


def test_environments_survive_pickling(path: str):
    env = DreamEnv(world=path, obs="latent", render_mode="rgb_array")
    again = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    assert again.render_mode == "rgb_array"
    whole = DreamEnv(world=tiny_world("box"), obs="latent")
    again = pickle.loads(pickle.dumps(whole))
    np.testing.assert_array_equal(again.reset(seed=3)[0], whole.reset(seed=3)[0])


def test_worlds_in_memory_are_not_copied():
    world = tiny_world("box")
    env = gym.make("SRVPDream-v0", world=world, obs="latent")
    assert env.unwrapped.world is world
    assert env.spec.kwargs["world"] is world


@pytest.mark.parametrize("obs", ["pixels", "latent"])
def test_single_dreams_are_the_rows_of_a_batch(path: str, obs: str):
    """Through several episodes, each begun by a reset of its own."""
    options = {"world": path, "obs": obs, "horizon": 4, "end": "sample"}
    batch = gym.make_vec("SRVPDream-v0", num_envs=3, autoreset_mode="Disabled", **options)
    singles = [gym.make("SRVPDream-v0", **options) for _ in range(3)]
    observations, _ = batch.reset(seed=7)
    for i, single in enumerate(singles):
        np.testing.assert_allclose(single.reset(seed=7 + i)[0], observations[i], atol=1e-4)
    batch.action_space.seed(0)
    ends = 0
    for _ in range(15):
        actions = batch.action_space.sample()
        observations, rewards, terminated, truncated, _ = batch.step(actions)
        for i, single in enumerate(singles):
            observation, *rest, info = single.step(actions[i])
            assert rest[1:] == [terminated[i], truncated[i]]
            assert info == {}
            np.testing.assert_allclose(rest[0], rewards[i], atol=1e-4)
            close(observation, observations[i])
        ended = terminated | truncated
        if not ended.any():
            continue
        ends += ended.sum()
        observations, _ = batch.reset(options={"reset_mask": ended})
        for i in np.flatnonzero(ended):
            close(singles[i].reset()[0], observations[i])
    assert ends > 5


def close(one: np.ndarray, two: np.ndarray) -> None:
    """Up to float rounding, which may round a pixel the other way."""
    tolerance = 1 if one.dtype == np.uint8 else 1e-4
    np.testing.assert_allclose(one.astype(float), two.astype(float), atol=tolerance)


def test_a_dream_is_truncated_exactly_at_its_horizon():
    env = DreamEnv(world=counting_world(1), obs="latent", horizon=5)
    for _ in range(2):
        _, info = env.reset()
        assert info == {"start": "data"}
        ends = [env.step(np.zeros(1))[2:4] for _ in range(5)]
        assert ends == [(False, False)] * 4 + [(False, True)]
    with pytest.raises(StateError, match="have ended: reset them"):
        env.step(np.zeros(1))


def test_a_dream_terminates_where_the_world_says():
    env = DreamEnv(world=counting_world(1, end=4), obs="latent", horizon=3)
    env.reset()
    results = [env.step(np.float32([a]))[:4] for a in (1, 2, 3)]
    assert [(x.item(), r, a, b) for x, r, a, b in results] == [
        (2, 201, False, False),
        (3, 302, False, False),
        (4, 403, True, True),
    ]


def test_gymnasiums_time_limit_counts_too():
    env = gym.make("SRVPDream-v0", world=counting_world(1), obs="latent", max_episode_steps=3)
    assert isinstance(env, TimeLimit)
    env.reset()
    assert [env.step(np.zeros(1, np.float32))[3] for _ in range(3)] == [False, False, True]
    batch = gym.make_vec(
        "SRVPDream-v0", num_envs=2, world=counting_world(1), obs="latent", max_episode_steps=3
    )
    batch.reset()
    ends = [batch.step(np.zeros((2, 1), np.float32))[3].tolist() for _ in range(3)]
    assert ends == [[False] * 2, [False] * 2, [True] * 2]


def test_seeds_hold_for_the_resets_that_follow(path: str):
    env = DreamEnv(world=path, obs="latent")
    first = [env.reset(seed=1)[0], env.reset()[0], env.reset()[0]]
    second = [env.reset(seed=1)[0], env.reset()[0], env.reset()[0]]
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(env.reset(seed=2)[0], first[0])
    options = {"world": path, "obs": "latent", "start": "prior"}  # no two starts are alike
    fresh = [DreamEnv(**options).reset()[0] for _ in range(2)]
    assert not np.allclose(*fresh)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_batches_work_with_gymnasiums_wrappers(mode: AutoresetMode):
    batch = gym.make_vec(
        "SRVPDream-v0",
        num_envs=2,
        world=counting_world(1),
        obs="latent",
        horizon=3,
        autoreset_mode=mode,
    )
    assert isinstance(batch, DreamVectorEnv)
    assert batch.metadata["autoreset_mode"] is mode
    env = RecordEpisodeStatistics(batch)
    env.reset(seed=0)
    summaries = []
    for _ in range(8):
        *_, truncated, infos = env.step(np.ones((2, 1), np.float32))
        if truncated.any():
            summaries.append((infos["episode"]["r"].tolist(), infos["episode"]["l"].tolist()))
            if mode == AutoresetMode.DISABLED:
                env.reset(options={"reset_mask": truncated.copy()})
    assert summaries == [([903, 903], [3, 3])] * 2


def test_the_metadata_of_one_dream_is_not_that_of_another():
    one = DreamEnv(world=tiny_world("box", fps=7))
    assert one.metadata["render_fps"] == 7
    assert isinstance(one.metadata["render_fps"], int)
    assert DreamEnv.metadata["render_fps"] == 15
    DreamVectorEnv(1, tiny_world("box"), autoreset_mode="NextStep")
    assert DreamVectorEnv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_render_shows_the_observation():
    env = DreamEnv(world=tiny_world("box", tiny_model(channels=3)), render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), observation)
    assert DreamEnv(world=tiny_world("box")).render() is None


@pytest.mark.parametrize("name", ["num_envs", "autoreset_mode", "stagger", "output"])
def test_what_only_a_batch_has_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"{name} is for a batch of dreams: use gym.make_vec"):
        DreamEnv(world=tiny_world("box"), **{name: 1})


def test_mistakes_show_through_gym_make(tmp_path: Path):
    with pytest.raises(WorldFileError, match="no file"):
        gym.make("SRVPDream-v0", world=str(tmp_path / "none.safetensors"))
    with pytest.raises(ConfigError, match="did you mean 'latent'"):
        gym.make("SRVPDream-v0", world=tiny_world("box"), obs="latents")
    env = DreamEnv(world=tiny_world("discrete"))
    env.reset(seed=0)
    with pytest.raises(SpaceError, match="row 0 holds 3, outside"):
        env.step(3)
