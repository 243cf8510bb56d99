"""Acting in reality on what a world infers."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import CONFIG, KINDS, random_actions, random_frames, tiny_model, tiny_world

from srvp_world.checkpoint import World, load
from srvp_world.config import PixelConfig
from srvp_world.envs.latent import LatentObservation, Watcher, make_real_env
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.errors import ConfigError, DataError, SpaceError
from srvp_world.model.srvp import SRVP
from srvp_world.spaces import ActionSpec
from srvp_world.world import Observation

PIXELS = PixelConfig(
    env_id="counter_world:Counter-v0", env_kwargs={"length": 6}, frame_size=32, action_repeat=2
)


@pytest.fixture
def world(tmp_path) -> World:
    """Give the world of a counting env, as it comes from its file."""
    action = ActionSpec(kind="discrete", nvec=(200,))
    model = tiny_model("none")
    values = {**vars(CONFIG), "action": action, "content_in_dynamics": True}
    norms = {name: value for name, value in model.state_dict().items() if "coder" in name}
    model = SRVP(type(CONFIG)(**values)).eval()
    model.load_state_dict(norms, strict=False)
    model.feature_normaliser.freeze(torch.arange(6.0), torch.full((6,), 0.1))
    made = tiny_world("none", model, pixels=PIXELS)
    return load(made.save(tmp_path / "world.safetensors"))


def features(world: World, frames: list[np.ndarray], actions: list) -> np.ndarray:
    """Watch an episode in one piece."""
    clip = torch.tensor(np.stack(frames)).movedim(-1, 1)[None].float() / 255
    given = torch.tensor(np.array(actions))[None]
    if not actions:
        given = torch.zeros(1, 0, *world.action.shape, dtype=torch.long)
    start = torch.ones(1, dtype=torch.bool)
    with torch.no_grad():
        state = world.model.encode(Observation(clip), given, episode_start=start, sample=False)
        return world.model.features(state)[0].numpy()


def test_a_policy_sees_what_the_world_infers(world: World):
    latent, plain = make_real_env(world), make_real_env(world, "pixels")
    assert latent.observation_space == gym.spaces.Box(-np.inf, np.inf, (6,), np.float32)
    assert latent.action_space == plain.action_space == world.action.space
    for seed in (0, 1):
        (seen, _), (frame, _) = latent.reset(seed=seed), plain.reset(seed=seed)
        frames, actions = [frame], []
        np.testing.assert_allclose(seen, features(world, frames, actions), rtol=1e-4, atol=1e-4)
        for action in (3, 150, 199):
            seen, *rest = latent.step(action)
            frame, *expected = plain.step(action)
            frames.append(frame)
            actions.append(action)
            assert seen in latent.observation_space
            np.testing.assert_allclose(seen, features(world, frames, actions), rtol=1e-4, atol=1e-4)
            assert rest == expected
            assert rest[3]["real_steps"] == 2
        assert rest[1], "three decisions of two steps each end six steps"
    latent.close()


def test_the_action_matters(world: World):
    seen = []
    for action in (0, 199):
        watcher = Watcher(world)
        watcher.begin(np.zeros((32, 32, 1), np.uint8))
        seen.append(watcher.follow(np.full((32, 32, 1), 200, np.uint8), action))
    assert not np.allclose(*seen)


@pytest.mark.parametrize("kind", KINDS)
def test_watching_follows_actions_of_every_kind(kind: str):
    world = tiny_world(kind)
    frames = (random_frames(1, 4, world.model)[0].movedim(1, -1) * 255).byte().numpy()
    actions = random_actions(world.action, 1, 3)[0]
    watcher = Watcher(world)
    seen = watcher.begin(frames[0])
    for frame, action in zip(frames[1:], actions, strict=True):
        seen = watcher.follow(frame, action.numpy() if action.ndim else action.item())
    expected = features(world, [*frames], [action.numpy() for action in actions])
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-4)


def test_worlds_without_actions_watch_too():
    world = tiny_world("none", tiny_model("none", content_in_features=True))
    watcher = Watcher(world)
    frame = (random_frames(1, 1, world.model)[0, 0].movedim(0, -1) * 255).byte().numpy()
    assert watcher.begin(frame).shape == (22,)
    assert watcher.follow(frame, action=123).shape == (22,)


def test_a_real_environment_is_rebuilt_from_a_world():
    action = ActionSpec.from_space(gym.make("Pendulum-v1").action_space)
    pixels = PixelConfig(env_id="Pendulum-v1", frame_size=32, action_repeat=2)
    model = SRVP(type(CONFIG)(**{**vars(CONFIG), "action": action})).eval()
    env = make_real_env(tiny_world("box", model, pixels=pixels))
    observation, _ = env.reset(seed=0)
    assert observation.dtype == np.float32
    assert observation in env.observation_space
    assert env.step(np.float32([0.5]))[0] in env.observation_space
    env.close()


WRONG_FRAMES = [
    np.zeros((64, 64, 1), np.uint8),
    np.zeros((32, 32, 3), np.uint8),
    np.zeros((32, 32), np.uint8),
    np.zeros((32, 32, 1), np.float32),
]


@pytest.mark.parametrize("frame", WRONG_FRAMES, ids=lambda x: f"{x.dtype}{x.shape}")
def test_frames_that_do_not_fit_are_refused(frame: np.ndarray):
    watcher = Watcher(tiny_world("box"))
    with pytest.raises(
        DataError, match=r"watches uint8 frames \(32, 32, 1\), got .*: make the env"
    ):
        watcher.begin(frame)
    watcher.begin(np.zeros((32, 32, 1), np.uint8))
    with pytest.raises(DataError, match="watches uint8 frames"):
        watcher.follow(frame, np.zeros(2))


def test_actions_that_do_not_fit_are_refused():
    watcher, frame = Watcher(tiny_world("box")), np.zeros((32, 32, 1), np.uint8)
    with pytest.raises(ConfigError, match="begin with the first frame"):
        watcher.follow(frame, np.zeros(2))
    watcher.begin(frame)
    for action in (np.zeros(3), np.array([0, 2.0]), np.array([np.nan, 0])):
        with pytest.raises(SpaceError, match="the action"):
            watcher.follow(frame, action)


def test_environments_that_do_not_fit_are_refused(world: World):
    env = make_pixel_env(PIXELS)
    with pytest.raises(ConfigError, match=r"takes Discrete\(200\), the world takes Box"):
        LatentObservation(env, tiny_world("box"))
    colour = PixelConfig(env_id=PIXELS.env_id, frame_size=32, channels=3)
    with pytest.raises(
        ConfigError, match=r"shows Box.*, the world watches uint8 frames \(32, 32, 1"
    ):
        LatentObservation(make_pixel_env(colour), world)
    with pytest.raises(ConfigError, match="the env shows Box"):
        LatentObservation(gym.make("CartPole-v1"), world)
    with pytest.raises(ConfigError, match="learnt from video: it has no real environment"):
        make_real_env(tiny_world("box"))
    with pytest.raises(ConfigError, match="obs='latents' is unknown: did you mean 'latent'"):
        make_real_env(world, "latents")


def test_frames_that_may_not_be_written_are_read_all_the_same():
    frame = np.zeros((32, 32, 1), np.uint8)
    frame.flags.writeable = False
    assert isinstance(torch.from_numpy(Watcher(tiny_world("box")).begin(frame)), Tensor)
