"""What Gymnasium and SB3 expect of an env, on every kind of action and observation."""

import copy
import pickle
import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from oracle import counting_world
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3
from worlds import tiny_model, tiny_world

from srvp_world.checkpoint import World
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.envs.single import DreamEnv
from srvp_world.errors import ConfigError, DataError, SpaceError, SRVPWorldError, StateError
from srvp_world.testing import check_sb3_vec_env, check_vector_env

HARMLESS = (  # what the checkers say of every Box without bounds or of other ones, and of 32 pixels
    "A Box observation space m(in|ax)imum value is -?infinity",
    "For Box action spaces, we recommend using a symmetric and normalized space",
    "symmetric and normalized",
    "The minimal resolution for an image is 36x36",
)
CASES = {  # every kind of action, observation, size, colour and start, in pairs
    "box": ("box", {"obs": "pixels"}, {}),
    "wide": ("wide", {"obs": "latent", "start": "first"}, {}),
    "discrete": ("discrete", {"obs": "pixels"}, {"frame_size": 64, "channels": 3}),
    "multidiscrete": ("multidiscrete", {"obs": "dict"}, {"vector_dim": 4, "channels": 3}),
    "multibinary": ("multibinary", {"obs": "latent", "end": "sample"}, {"vector_dim": 4}),
    "none": ("none", {"obs": "pixels", "start": "prior"}, {"frame_size": 128}),
    "noise": ("none", {"obs": "latent", "actions": "noise"}, {"continuation": False}),
    "vector": ("box", {"obs": "dict", "start": "prior"}, {"vector_dim": 2, "frame_size": 64}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[World, dict]:
    kind, options, changes = CASES[request.param]
    return world_of(kind, **changes), options | {"horizon": 6, "render_mode": "rgb_array"}


def world_of(kind: str, vector_dim: int = 0, **changes) -> World:
    """Give a tiny world a vector beside its frames, where it wants one, and long dreams."""
    world = tiny_world(kind, tiny_model(kind, vector_dim=vector_dim, **changes))
    if world.model.has_continuation:  # so that few dreams end with their first step
        with torch.no_grad():
            [*world.model.continuation_head.parameters()][-1].add_(1.5)
    if not vector_dim:
        return world
    vector = torch.randn(*world.starts.frames.shape[:2], vector_dim)
    return World(world.model, replace(world.starts, vector=vector), episode_length=9)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_batches_keep_every_rule(case, mode, output):
    world, options = case
    check_vector_env(DreamVectorEnv(3, world, autoreset_mode=mode, output=output, **options))


def test_batches_of_sb3_keep_every_rule(case):
    world, options = case
    check_sb3_vec_env(DreamVecEnv(3, world, **options))


def test_gymnasium_and_sb3_find_nothing_wrong_with_single_dreams(case):
    world, options = case
    env = gym.make("SRVPDream-v0", world=world, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for harmless in HARMLESS:
            warnings.filterwarnings("ignore", f".*{harmless}")
        check_env(env.unwrapped, skip_render_check=False)
        check_env_of_sb3(DreamEnv(world=world, **options))


def test_single_dreams_are_in_pythons_own_types(case):
    world, options = case
    env = gym.make("SRVPDream-v0", world=world, **options)  # checks every step passively
    env.reset(seed=0)
    env.action_space.seed(0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert observation in env.observation_space
    assert (type(reward), type(terminated), type(truncated), info) == (float, bool, bool, {})
    env.close()
    env.close()


def test_dreams_are_registered_by_strings_and_list_what_they_can():
    spec = gym.spec("SRVPDream-v0")
    assert spec.entry_point == "srvp_world.envs.single:DreamEnv"
    assert spec.vector_entry_point == "srvp_world.envs.dream:DreamVectorEnv"
    for kind in (DreamEnv, DreamVectorEnv):
        assert kind.metadata["render_modes"] == ["rgb_array"], "Gymnasium makes human out of it"
        assert "torch" not in kind.metadata, "with it Gymnasium's check_env fails"


@pytest.mark.filterwarnings("ignore:.*The HumanRendering wrapper is being applied")
def test_people_can_watch_through_gym_make():
    env = gym.make("SRVPDream-v0", world=counting_world(7), render_mode="human")
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    assert type(env).__name__ == "HumanRendering" and env.unwrapped.render().mean() == 8
    env.close()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_of_a_batch_under_way_go_on_alike_and_alone(copied):
    env = DreamVectorEnv(3, tiny_world("box"), obs="latent", horizon=9, end="sample")
    env.reset(seed=0)
    actions = np.ones((3, 2), np.float32)
    env.step(actions)
    again = copied(env)
    ahead = [env.step(actions) for _ in range(12)]
    for one in ahead:
        two = again.step(actions)
        for a, b in zip(one[:4], two[:4], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_single_dreams_can_be_copied(tmp_path):
    path = tiny_world("box").save(tmp_path / "box.safetensors")
    for world in (str(path), tiny_world("box")):
        env = DreamEnv(world=world, obs="latent")
        again = copy.deepcopy(env)
        np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])


def test_dreams_run_in_spawned_processes(tmp_path):
    path = str(counting_world_on_disk(tmp_path))
    makers = [lambda: gym.make("srvp_world:SRVPDream-v0", world=path, obs="latent", horizon=4)] * 2
    env = AsyncVectorEnv(makers, context="spawn")
    try:
        observations, infos = env.reset(seed=5)
        assert infos["start"].tolist() == ["data", "data"]
        here = DreamVectorEnv(2, path, obs="latent", horizon=4)
        np.testing.assert_allclose(observations, here.reset(seed=5)[0], atol=1e-5)
        actions = np.ones((2, 2), np.float32)
        observations, rewards, *_ = env.step(actions)
        expected, reward, *_ = here.step(actions)
        np.testing.assert_allclose(observations, expected, atol=1e-4)
        np.testing.assert_allclose(rewards, reward, atol=1e-4)
    finally:
        env.close()


def counting_world_on_disk(folder):
    return tiny_world("box", tiny_model("box", continuation=False)).save(folder / "w.safetensors")


def test_statistics_of_the_rows_that_go_on_survive_a_masked_reset():
    world = counting_world(1, 2, 3, end=5, length=1)
    env = RecordEpisodeStatistics(
        DreamVectorEnv(3, world, obs="latent", autoreset_mode="Disabled", horizon=9)
    )
    observation, _ = env.reset(seed=2)
    begun = observation[:, 0].copy()
    assert len(set(begun)) > 1
    found = {}
    for _ in range(4):
        *_, terminated, _, infos = env.step(np.zeros((3, 1), np.float32))
        for i in np.flatnonzero(terminated):
            found.setdefault(i, (infos["episode"]["r"][i], infos["episode"]["l"][i]))
        if terminated.any():
            env.reset(options={"reset_mask": terminated.copy()})
    for i, first in enumerate(begun):
        counts = np.arange(first + 1, 6)
        assert found[i] == (100 * counts.sum(), len(counts))


def test_a_dream_may_begin_after_frames_of_your_own():
    frames = np.full((3, 32, 32, 1), [[[[5]]], [[[6]]], [[[7]]]], np.uint8)
    options = {"frames": frames, "actions": np.zeros((2, 1)), "vector": np.zeros((3, 1))}
    env = gym.make("SRVPDream-v0", world=counting_world(100), obs="latent")
    observation, info = env.reset(options=options)
    assert (observation.item(), info) == (7, {"start": "frames"})
    assert env.step(np.zeros(1, np.float32))[0].item() == 8
    observation, info = env.reset()
    assert (observation.item(), info) == (100, {"start": "data"})


def test_info_tells_how_uncertain_a_step_was_where_that_counts():
    env = DreamEnv(world=counting_world(4), obs="latent", max_uncertainty=5.5)
    env.reset()
    *_, truncated, info = env.step(np.float32([3]))
    assert not truncated and info == {"uncertainty": pytest.approx(4.03)}
    assert type(info["uncertainty"]) is float
    env.step(np.float32([0]))
    assert env.step(np.float32([0]))[3], "6 is more than 5.5"


def test_dicts_show_pixels_and_vector_of_one_state():
    env = gym.make("SRVPDream-v0", world=counting_world(9), obs="dict")
    observation, _ = env.reset()
    assert (observation["pixels"].max(), observation["vector"].item()) == (9, 1009)
    observation, *_ = env.step(np.zeros(1, np.float32))
    assert (observation["pixels"].min(), observation["vector"].item()) == (10, 1010)


MISTAKES = {
    "shape": ("box", np.zeros(3), SpaceError, r"actions have shape \(1, 3\)"),
    "none": ("box", None, SpaceError, r"actions have shape \(1,\)"),
    "words": ("box", ["left", "left"], SpaceError, "actions are <U4"),
    "NaN": ("box", [np.nan, 0], SpaceError, "NaN or infinite"),
    "floats": ("multidiscrete", np.zeros(2), SpaceError, "actions are float64"),
    "outside": ("multibinary", [0, 2, 0], SpaceError, "row 0 holds 2, outside"),
}


@pytest.mark.parametrize(("kind", "action", "error", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_wrong_actions_are_named_in_one_line(kind, action, error, reason):
    env = DreamEnv(world=tiny_world(kind), obs="latent")
    with pytest.raises(ConfigError, match="reset the dream before its first step"):
        env.step(action)
    env.reset(seed=0)
    assert_one_line(error, reason, lambda: env.step(action))
    batch = DreamVecEnv(1, tiny_world(kind), obs="latent")
    batch.reset()
    assert_one_line(error, reason, lambda: batch.step(np.asarray(action)[None]))


def assert_one_line(error, reason, call):
    with pytest.raises(error, match=reason) as found:
        call()
    assert isinstance(found.value, SRVPWorldError) and "\n" not in str(found.value)


def test_wrong_resets_are_named_in_one_line():
    env = DreamEnv(world=counting_world(1), obs="latent")
    frames = np.zeros((2, 32, 32, 1), np.uint8)
    mask, no_rows = {"reset_mask": np.ones(1, bool)}, {"reset_mask": np.zeros(2, bool)}
    for options, error, reason in (
        ({"frame": frames}, ConfigError, "'frame' is unknown: did you mean 'frames'"),
        (mask, ConfigError, "reset_mask is for a batch of dreams: leave it out"),
        ({"frames": frames[:, 1:]}, DataError, r"start frames are uint8 \(2, 31, 32, 1\)"),
        ({"frames": frames / 255}, DataError, "start frames are float64"),
        ({"vector": np.zeros((2, 1))}, DataError, "'vector' needs the frames"),
        ({"frames": frames}, DataError, r"wants a vector \(2, 1\)"),
    ):
        assert_one_line(error, reason, lambda options=options: env.reset(options=options))
    batch = DreamVectorEnv(2, counting_world(1), autoreset_mode="Disabled", horizon=2)
    batch.reset()
    assert_one_line(ConfigError, "chooses no row", lambda: batch.reset(options=no_rows))
    assert_one_line(ConfigError, r"must be bool \(2,\)", lambda: batch.reset(options=mask))
    for _ in range(2):
        batch.step(np.zeros((2, 1)))
    rows = r"the dreams in rows \[0, 1\] have ended"
    assert_one_line(StateError, rows, lambda: batch.step(np.zeros((2, 1))))


def test_worlds_without_actions_are_asked_for_none():
    for make in (DreamVectorEnv, DreamVecEnv):
        reason = "the world takes none: use 'none' or 'noise'"
        assert_one_line(
            ConfigError, reason, lambda make=make: make(2, tiny_world("none"), actions="world")
        )
    env = DreamEnv(world=tiny_world("none"), obs="latent")
    options = {"frames": np.zeros((4, 32, 32, 1), np.uint8), "actions": np.zeros((3, 1))}
    assert_one_line(SpaceError, "takes no actions", lambda: env.reset(options=options))
