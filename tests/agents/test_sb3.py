"""SB3's algorithms learn in dreams whose best policy is known, and tell how in both worlds."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracle import Count, counting_world
from stable_baselines3 import A2C, PPO, SAC, TD3
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from worlds import CONFIG, tiny_model, tiny_world

from srvp_world.agents.evaluate import evaluate_in_dream
from srvp_world.agents.sb3 import ALGORITHMS, SETTINGS, train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.checkpoint import World
from srvp_world.config import PixelConfig
from srvp_world.envs.sb3 import DreamVecEnv
from srvp_world.errors import ConfigError, SRVPWorldError, UnknownNameError
from srvp_world.model.normaliser import Normaliser
from srvp_world.model.srvp import SRVP
from srvp_world.spaces import ActionSpec
from srvp_world.world import Prediction

BOX = ActionSpec(kind="box", shape=(1,), low=(-2.0,), high=(3.0,))
CHOICE = ActionSpec(kind="discrete", nvec=(2,))
SMALL = {"steps": 256, "num_envs": 4, "horizon": 6, "progress": False}
SHORT = {"n_steps": 16, "batch_size": 32}


class Target:
    """Shows a number in {-1, 1}, and rewards the action for being close to it."""

    frame_shape = (1, 32, 32)
    noise_dim = start_noise_dim = feature_dim = fewest_rows = 1
    has_reward = True
    device = torch.device("cpu")

    def __init__(self, action):
        self.action = action
        self.reward_normaliser = Normaliser(1)

    def encode(self, observation, actions=None, **_):
        return Count(torch.ones(len(observation.frames)))

    def step(self, state, action, *, noise, **_):
        given = action[:, 0] if self.action.kind == "box" else 2.0 * action - 1
        return Count(noise[:, 0].sign()), Prediction(-(given - state.number).square(), None)

    def features(self, state):
        return state.number[:, None].clone()

    def state_dict(self):
        return {"none": torch.zeros(1)}


def target_world(action=BOX):
    starts = counting_world(0, 0).starts
    if action.kind == "discrete":
        starts = replace(starts, actions=torch.zeros(2, 0, dtype=torch.long))
    return World(Target(action), starts, episode_length=10)


@pytest.mark.parametrize(("algorithm", "steps"), [("PPO", 20_000), ("A2C", 20_000), ("SAC", 8_000)])
def test_boxes_find_the_known_optimum(algorithm, steps):
    world = target_world()
    model = train_in_dream(world, algorithm, steps=steps, horizon=10, progress=False)
    actions = policy_from_sb3(model, world).choose(torch.tensor([[-1.0], [1.0]]))
    np.testing.assert_allclose(actions.numpy(), [[-1.0], [1.0]], atol=0.3)


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "DQN"])
def test_choices_find_the_known_optimum(algorithm):
    world = target_world(CHOICE)
    model = train_in_dream(world, algorithm, steps=6_000, horizon=10, progress=False)
    actions = policy_from_sb3(model, world).choose(torch.tensor([[-1.0], [1.0]]))
    assert actions.tolist() == [0, 1]


def test_ppo_learns_as_if_built_by_hand():
    world = tiny_world("box", tiny_model("box", ensemble=2))
    world.model.reward_normaliser.freeze(torch.tensor([3.0]), torch.tensor([4.0]))
    settings = {"num_envs": 4, "horizon": 6, "seed": 3, "steps": 300, "batch_size": 64}
    model = train_in_dream(world, penalty=0.5, progress=False, **settings)
    scales = {"penalty": 0.5 * 4, "reward_scale": 1 / 5}  # of the deviation, and of the size
    dream = DreamVecEnv(4, world, obs="latent", horizon=6, temperature=0.5, **scales)
    by_hand = PPO("MlpPolicy", dream, seed=3, device="cpu", **{**SETTINGS["PPO"], "batch_size": 64})
    dream.bootstrap_with(by_hand)
    by_hand.learn(300)
    pairs = zip(model.policy.parameters(), by_hand.policy.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.parametrize("algorithm", ["PPO", "SAC"])
def test_the_same_seed_trains_the_same_policy(algorithm):
    world = tiny_world("box")
    settings = SHORT if algorithm == "PPO" else {"learning_starts": 16}
    models = [
        train_in_dream(world, algorithm, seed=seed, **SMALL, **settings) for seed in (0, 0, 1)
    ]
    weights = [policy_from_sb3(model, world).network[0].weight for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(("end", "going_on"), [(-1, 1.0), (5, 0.0)])
def test_only_ends_of_the_world_end_the_values_of_off_policy_models(end, going_on):
    """A dream counts 1, 2, ... until its horizon, 5, cuts it, or until the world ends at 5."""
    world = counting_world(0, 0, end=end)
    world.model.has_reward, world.model.reward_normaliser = True, Normaliser(1)
    model = train_in_dream(
        world, "SAC", steps=20, num_envs=2, horizon=5, learning_starts=100, progress=False
    )
    buffer = model.replay_buffer
    ended = buffer.dones[:10] * (1 - buffer.timeouts[:10])  # what targets are masked by
    assert buffer.next_observations[:10, 0, 0].tolist() == [1, 2, 3, 4, 5] * 2
    assert buffer.dones[:10, 0].tolist() == [0, 0, 0, 0, 1] * 2
    assert ended[:, 0].tolist() == [0, 0, 0, 0, 1 - going_on] * 2


@pytest.mark.parametrize(
    "action",
    [
        ActionSpec(kind="box", shape=(), low=(0.1,), high=(0.7,)),
        ActionSpec(kind="box", shape=(1, 2), low=(0.0, -5.0), high=(9.0, 5.0)),
    ],
)
def test_sac_takes_boxes_of_any_shape(action):
    world = tiny_world(model=SRVP(replace(CONFIG, action=action)).eval())
    model = train_in_dream(world, "SAC", learning_starts=16, **{**SMALL, "steps": 64})
    seen = torch.randn(5, world.model.feature_dim)
    chosen = policy_from_sb3(model, world).choose(seen).numpy()
    expected, _ = model.predict(seen.numpy(), deterministic=True)
    assert chosen.shape == (5, *action.shape)
    np.testing.assert_allclose(chosen, expected, rtol=1e-5, atol=1e-5)


def test_callers_see_every_rollout():
    calls = []
    train_in_dream(
        tiny_world("box"),
        on_rollout=lambda model: calls.append(model.num_timesteps),
        **SMALL,
        **SHORT,
    )
    assert calls == [64, 128, 192, 256]


def read(folder):
    """Give the scalars of a folder by name, each a list of (step, value), and curve.json."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    scalars = {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }
    return scalars, json.loads((folder / "curve.json").read_text())


def real_world(length=3):
    """Give a world of the real counter, whose episodes earn 1 + 2 + ... + length."""
    pixels = PixelConfig(
        env_id="counter_world:Counter-v0", frame_size=32, env_kwargs={"length": length}
    )
    action = ActionSpec(kind="discrete", nvec=(200,))
    return tiny_world(model=SRVP(replace(CONFIG, action=action)).eval(), pixels=pixels)


def test_dream_and_real_returns_are_logged_side_by_side(tmp_path):
    world = real_world()
    settings = {"log": tmp_path / "log", "evaluate_every": 128, "real_episodes": 2}
    train_in_dream(world, "PPO", seed=4, **settings, **SMALL, **SHORT)
    scalars, curve = read(tmp_path / "log")
    steps = [0, 128, 256]
    for name in ("dream/return", "dream/length", "real/return", "real/length"):
        assert [step for step, _ in scalars[name]] == steps
    assert [value for _, value in scalars["real/return"]] == [6, 6, 6]
    assert [value for _, value in scalars["real/length"]] == [3, 3, 3]
    assert [point["dream_steps"] for point in curve["points"]] == steps
    for point, (_, value) in zip(curve["points"], scalars["dream/return"], strict=True):
        assert point["dream/return"] == pytest.approx(value, rel=1e-5)
    assert (curve["algorithm"], curve["seed"]) == ("PPO", 4)
    assert curve["world"] == world.fingerprint


def test_dreams_are_scored_as_by_the_evaluation_of_agents(tmp_path):
    world = real_world()
    model = train_in_dream(world, log=tmp_path, real_episodes=0, **SMALL, **SHORT)
    returns = evaluate_in_dream(world, policy_from_sb3(model, world))
    point = read(tmp_path)[1]["points"][-1]
    assert point["dream/return"] == pytest.approx(returns.mean(), rel=1e-5)
    assert point["dream/std"] == pytest.approx(returns.std(), rel=1e-4)
    assert "real/return" not in point


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_to_look_does_not_change_what_is_learnt(algorithm, tmp_path):
    world = real_world()
    settings = SHORT if algorithm == "PPO" else {"learning_starts": 16}
    logged = {"log": tmp_path, "evaluate_every": 64, "real_episodes": 1}
    models = [
        train_in_dream(world, algorithm, **SMALL, **settings, **more) for more in ({}, logged)
    ]
    one, two = (list(model.policy.parameters()) for model in models)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_without_a_log_nothing_is_written_or_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    train_in_dream(tiny_world("box"), **SMALL, **SHORT)
    assert list(tmp_path.rglob("*")) == []
    assert capsys.readouterr().out == ""


def test_sb3_shows_and_logs_where_it_is_asked_to(tmp_path, capsys):
    logged = {"verbose": 1, "tensorboard_log": str(tmp_path)}
    for asked in ({"verbose": 1}, logged):
        train_in_dream(tiny_world("box"), **SMALL, **SHORT, **asked)
        assert "total_timesteps" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("events*"))) == 1


def test_a_second_training_replaces_the_curve_of_the_first(tmp_path):
    for seed in (0, 1):
        train_in_dream(
            tiny_world("box"), log=tmp_path, real_episodes=0, seed=seed, **SMALL, **SHORT
        )
    scalars, curve = read(tmp_path)
    assert [step for step, _ in scalars["dream/return"]] == [0, 256]
    assert (len(curve["points"]), curve["seed"]) == (2, 1)
    assert len((tmp_path / "scalars.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("kind", "algorithm", "settings", "error", "message"),
    [
        ("box", "PP0", {}, UnknownNameError, "no algorithm 'PP0' .* did you mean 'PPO'"),
        ("box", TD3, {}, UnknownNameError, "known: A2C, DQN, PPO, SAC .*DreamVecEnv"),
        ("discrete", "SAC", {}, ConfigError, r"SAC .*Discrete\(3\): use PPO or A2C or DQN"),
        ("box", "DQN", {}, ConfigError, "DQN .*Box.*: use PPO or A2C or SAC"),
        ("multidiscrete", "DQN", {}, ConfigError, "use PPO or A2C"),
        ("multibinary", "SAC", {}, ConfigError, "use PPO or A2C"),
        ("none", "PPO", {}, ConfigError, "takes no actions.*actions='noise'"),
        ("box", "PPO", {"gama": 0.9}, ConfigError, "no setting 'gama': did you mean 'gamma'"),
        ("box", "PPO", {"env": None}, ConfigError, "'env' of PPO is fixed"),
        ("box", "PPO", {"steps": 0}, ConfigError, "steps must be at least 1, got 0"),
        ("box", "PPO", {"evaluate_every": 9}, ConfigError, "evaluate_every=9 needs a folder"),
        ("box", "PPO", {"evaluate_every": 0}, ConfigError, "at least 1 step, got 0"),
        ("box", "PPO", {"log": "log"}, ConfigError, "no real environment.*real_episodes=0"),
        ("box", "PPO", {"log": "log", "real_episodes": -1}, ConfigError, "negative, got -1"),
        ("box", "PPO", {"num_envs": 0}, ConfigError, "num_envs"),
        ("box", "PPO", {"seed": -1}, ConfigError, r"seed must be .* 2\*\*32 - 1, got -1"),
        ("box", "PPO", {"seed": 2**32}, ConfigError, "seed must be .* got 4294967296"),
        ("box", "PPO", {"seed": None}, ConfigError, "seed must be .* got None"),
        ("box", "PPO", {"batch_size": 1}, ConfigError, "PPO refuses its settings: .batch_size"),
        ("box", "SAC", {"ent_coef": "high"}, ConfigError, "SAC refuses its settings: .*'high'"),
        ("box", "A2C", {"device": "moon"}, ConfigError, "A2C refuses its settings: .*: moon"),
        ("box", "A2C", {"n_steps": 0}, ConfigError, "n_steps of A2C must be at least 1, got 0"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    kind, algorithm, settings, error, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message) as caught:
        train_in_dream(tiny_world(kind), algorithm, **{"progress": False, **settings})
    assert isinstance(caught.value, SRVPWorldError) and "\n" not in str(caught.value)
    assert list(tmp_path.rglob("*")) == []


def test_a_world_without_rewards_is_refused():
    world = tiny_world("box", tiny_model("box", reward=False))
    with pytest.raises(ConfigError, match="predicts no rewards"):
        train_in_dream(world)


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC])
def test_algorithms_are_named_or_given(algorithm):
    name = algorithm.__name__
    assert ALGORITHMS[name] is algorithm
    settings = {**SMALL, "steps": 8, "num_envs": 8}
    assert type(train_in_dream(tiny_world("box"), algorithm, **settings)) is algorithm
    assert type(train_in_dream(tiny_world("box"), name.lower(), **settings)) is algorithm
