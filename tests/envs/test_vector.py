"""The env's own observation as a vector beside its frames: recorded, learnt, dreamt, watched."""

import json
import shutil
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from command import change
from safetensors import safe_open
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor
from worlds import CONFIG

from srvp_world.agents.evaluate import evaluate_in_dream, evaluate_in_reality
from srvp_world.agents.policy import FrameAgent
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.checkpoint import load
from srvp_world.config import ObjectiveConfig, PixelConfig, TrainConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.info import read_info
from srvp_world.data.windows import to_batch
from srvp_world.envs.collect import collect, run_episodes
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.latent import LatentObservation, Watcher, make_real_env
from srvp_world.envs.learn import learn_world
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.envs.policies import RandomPolicy
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.errors import ConfigError, DataError, SpaceError
from srvp_world.world import Observation

GOAL = PixelConfig(env_id="SRVPGoal-v0", frame_size=32, vector=True)
TRAIN = TrainConfig(
    iterations=250,
    batch_size=16,
    window=6,
    learning_rate=2e-3,
    validate_every=250,
    save_every=250,
)
MODEL = replace(CONFIG, filters=4, inference_hidden=64, dynamics_hidden=64, code_dim=32)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("goal") / "data"
    collect(GOAL, folder, RandomPolicy, episodes=60, progress=False)
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def world_file(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("goal") / "run"
    objective = ObjectiveConfig(observation_std=0.3)
    learnt = learn_world(data, replace(MODEL, objective=objective), TRAIN, run, progress=False)
    return learnt.world.save(run / "world.safetensors")


@pytest.fixture
def world(world_file):
    return load(world_file)


def spaces(observation="box", **env_kwargs) -> PixelConfig:
    env_kwargs["observation"] = observation
    env_id = "spaces_world:Spaces-v0"
    return PixelConfig(env_id=env_id, frame_size=32, env_kwargs=env_kwargs, vector=True)


def dot_in(frame: np.ndarray) -> np.ndarray:
    """Read the place of the dot off a frame, in [-1, 1]."""
    rows, columns = np.nonzero(frame[..., 0] == 255)
    return (np.array([rows.min(), columns.min()]) - 1) / 6 / 2 - 1


def test_vectors_are_recorded_beside_their_frames(data):
    assert data.info.vector_dim == 4 and data.info.pixels == GOAL
    for i in range(5):
        episode = data.read(i)
        assert episode.vector.shape == (21, 4) and episode.vector.dtype == np.float32
        for frame, vector in zip(episode.frames, episode.vector, strict=True):
            np.testing.assert_allclose(vector[:2], dot_in(frame), atol=1e-6)
        assert (episode.vector[:, 2:] == episode.vector[0, 2:]).all()


@pytest.mark.parametrize(
    ("observation", "flat"),
    [
        ("box", lambda seen: seen),
        ("double", lambda seen: seen.ravel()),
        ("number", lambda seen: [seen]),
        ("dict", lambda seen: np.concatenate([*seen["a"], seen["b"]])),
    ],
)
def test_observations_of_floats_become_one_vector(observation, flat):
    env = make_pixel_env(spaces(observation))
    shown, _ = env.reset(seed=0)
    for _ in range(3):
        assert shown in env.observation_space
        assert shown["vector"].dtype == np.float32
        np.testing.assert_allclose(shown["vector"], flat(env.unwrapped.seen), rtol=1e-6)
        kept, before = shown["vector"], shown["vector"].copy()
        shown = env.step(0)[0]
        np.testing.assert_array_equal(kept, before)
    env.close()


def test_a_repeated_action_leads_to_the_last_observation():
    env = make_pixel_env(replace(spaces(), action_repeat=3))
    env.reset(seed=0)
    shown, *_ = env.step(0)
    np.testing.assert_array_equal(shown["vector"], env.unwrapped.seen)
    assert (shown["pixels"] == 150).all()
    env.close()


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ("choice", r"observes Discrete\(3\), which is no vector of floats: leave the vector out"),
        ("image", r"observes Box\(0, 255, \(8, 8, 3\), uint8\), which is no vector"),
        ("mixed", r"observes MultiBinary\(2\), which is no vector"),
        ("empty", r"observes Dict\(\), which holds no number"),
    ],
)
def test_observations_that_are_no_vectors_are_refused_by_name(observation, words):
    with pytest.raises(SpaceError, match=f"^spaces_world:Spaces-v0 {words}"):
        make_pixel_env(spaces(observation))
    assert make_pixel_env(replace(spaces(observation), vector=False)).reset(seed=0)[0].shape


def test_observations_that_are_not_finite_are_refused_and_earlier_episodes_kept(tmp_path):
    with pytest.raises(DataError, match=r"Spaces-v0 observed \[.* nan .*\], not 3 finite numbers"):
        collect(spaces(broken_at=2), tmp_path, RandomPolicy, episodes=1, progress=False)
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_vector_is_modelled(data, world):
    """Five steps ahead in the dream it is told far better than by its mean."""
    batch = to_batch([data.read(i) for i in range(len(data))], length=6 + 15)
    actions, vector = batch.actions, batch.vector
    first = Observation(batch.frames[:, :1], vector[:, :1])
    start = torch.ones(len(actions), dtype=torch.bool)
    state = world.model.encode(first, actions[:, :0], episode_start=start, sample=False)
    for i in range(5):
        state, _ = world.model.step(state, actions[:, i], temperature=0.0)
    error = (world.model.decode_vector(state) - vector[:, 5]).square().mean(0)
    assert (error < 0.5 * vector[:, 5].var(0)).all(), error


def test_dreams_and_reality_show_the_same_spaces(world):
    real = make_real_env(world, "dict")
    dream = gym.make("SRVPDream-v0", world=world, obs="dict")
    assert real.observation_space == dream.observation_space
    assert real.action_space == dream.action_space
    assert make_real_env(world, "pixels").observation_space == real.observation_space["pixels"]
    batch = DreamVectorEnv(2, world, obs="dict")
    shown, _ = batch.reset(seed=0)
    assert np.abs(shown["vector"]).max() < 3 and np.ptp(shown["vector"]) > 0.3  # its own units


def test_policies_see_what_the_world_infers_from_both(world):
    """Frame by frame as in one piece; and the vector matters."""
    latent, plain = make_real_env(world), make_real_env(world, "dict")
    (seen, _), (shown, _) = latent.reset(seed=3), plain.reset(seed=3)
    frames, vectors, actions = [shown["pixels"]], [shown["vector"]], [2, 3, 0]
    for action in actions:
        seen, shown = latent.step(action)[0], plain.step(action)[0]
        frames.append(shown["pixels"])
        vectors.append(shown["vector"])

    def infer(vectors: list[np.ndarray]) -> np.ndarray:
        clip = torch.tensor(np.stack(frames)).movedim(-1, 1)[None].float() / 255
        state = world.model.encode(
            Observation(clip, torch.tensor(np.stack(vectors))[None]),
            torch.tensor([actions]),
            episode_start=torch.ones(1, dtype=torch.bool),
            sample=False,
        )
        return world.model.features(state)[0].numpy()

    np.testing.assert_allclose(seen, infer(vectors), rtol=1e-4, atol=1e-4)
    assert not np.allclose(seen, infer([*vectors[:-1], -vectors[-1]]), atol=1e-3)


def test_an_agent_trained_in_the_dream_acts_in_reality(world, world_file, tmp_path):
    model = train_in_dream(world, steps=64, num_envs=2, horizon=4, batch_size=64, progress=False)
    policy = policy_from_sb3(model, world)
    path = policy.save(tmp_path / "policy.safetensors")
    results = evaluate_in_reality(
        world, world_file, path, seeds=[0, 1], frames_of=[1], progress=False
    )
    assert [result.decisions for result in results] == [20, 20]
    assert results[1].frames.shape == (21, 32, 32, 1)
    assert len(evaluate_in_dream(world, policy, episodes=2)) == 2


class VectorAlone(BaseFeaturesExtractor):
    """Reads the vector; SB3's own network for images wants 36 pixels and more."""

    def __init__(self, space: gym.spaces.Dict) -> None:
        super().__init__(space, space["vector"].shape[0])

    def forward(self, shown: dict[str, Tensor]) -> Tensor:
        return shown["vector"]


def test_sb3_models_on_dictionaries_act_in_reality(world):
    dream = DreamVecEnv(2, world, obs="dict", horizon=4)
    kwargs = {"net_arch": [8], "features_extractor_class": VectorAlone}
    settings = {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "seed": 0, "device": "cpu"}
    model = PPO("MultiInputPolicy", dream, policy_kwargs=kwargs, **settings).learn(16)
    results = run_episodes(GOAL, FrameAgent(model), [0], progress=False)
    assert results[0].decisions == 20


BROKEN = [None, np.zeros(3, np.float32), np.full(4, np.nan, np.float32), np.zeros((1, 4))]


@pytest.mark.parametrize("vector", BROKEN, ids=["none", "short", "nan", "deep"])
def test_vectors_that_do_not_fit_are_refused(world, vector):
    watcher, frame = Watcher(world), np.zeros((32, 32, 1), np.uint8)
    shown = frame if vector is None else {"pixels": frame, "vector": vector}
    with pytest.raises(DataError, match="watches 4 finite numbers beside each frame, got"):
        watcher.begin(shown)
    watcher.begin({"pixels": frame, "vector": np.zeros(4, np.float32)})
    with pytest.raises(DataError, match="watches 4 finite numbers"):
        watcher.follow(shown, 0)


def test_environments_without_their_vector_are_refused(world):
    blind = make_pixel_env(replace(GOAL, vector=False))
    with pytest.raises(ConfigError, match=r"watches uint8 frames \(32, 32, 1\) and 4 numbers"):
        LatentObservation(blind, world)
    old = replace(world, pixels=replace(GOAL, vector=False))
    with pytest.raises(ConfigError, match="obs='dict' shows a vector .* this world has none"):
        make_real_env(old, "dict")


def test_worlds_and_data_from_before_vectors_open(world_file, data, tmp_path):
    path = shutil.copy(world_file, tmp_path / "world.safetensors")
    with safe_open(path, "numpy") as file:
        header = json.loads(file.metadata()["srvp_world"])
    del header["pixels"]["vector"]
    change(path, {"srvp_world": json.dumps(header)})
    assert load(path).pixels == replace(GOAL, vector=False)
    description = json.loads((data.folder / "dataset.json").read_text())
    del description["info"]["pixels"]["vector"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(description))
    assert read_info(tmp_path / "data").pixels == replace(GOAL, vector=False)
