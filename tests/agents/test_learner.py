"""What an actor-critic learns from: gradients with known values, and where rollouts end."""

import numpy as np
import pytest
import torch
from lines import PUSH, WALK, Chain, Line, Point
from oracle import Count, Counter
from torch import Tensor
from torch.distributions import Categorical
from torch.utils._python_dispatch import TorchDispatchMode
from worlds import ACTIONS, generator, tiny_world

from srvp_world.agents.imagine import imagine
from srvp_world.agents.learner import ActorCriticConfig, Learner
from srvp_world.agents.policy import PolicyConfig
from srvp_world.envs.starts import start_pool
from srvp_world.errors import ConfigError
from srvp_world.world import Prediction


class Bent(Line):
    """A point whose steps, rewards and ends bend, so that every gradient matters."""

    def __init__(self, going: float | None = None):
        super().__init__(PUSH)
        self.going = going

    def move(self, number: Tensor, action: Tensor) -> Tensor:
        return number + (action[:, 0] - 0.3 * number).sin()

    def reward(self, arrival: Tensor) -> Tensor:
        return -(arrival - 0.2).square() / 10

    def going_on(self, arrival: Tensor) -> Tensor:
        return arrival.sigmoid() if self.going is None else torch.full_like(arrival, self.going)


class Bandit(Line):
    """Pays what is written on an arm, wherever one stands; bits and pairs add up."""

    payoffs = torch.tensor([1.0, -0.5, 2.0])

    def move(self, number: Tensor, action: Tensor) -> Tensor:
        columns = action[:, None] if action.ndim == 1 else action
        return self.payoffs[columns].sum(1)

    def reward(self, arrival: Tensor) -> Tensor:
        return arrival


def learner_of(action, seed=0, **settings):
    config = ActorCriticConfig(hidden=(4,), **{"entropy": 0.0, **settings})
    shape = PolicyConfig(
        feature_dim=1,
        hidden=config.hidden,
        activation="tanh",
        action=action,
        world="",
        squashed=action.kind == "box",
    )
    return Learner(config, shape, seed=seed)


def judged(learner, rollout):
    """Give what a rollout teaches."""
    return learner.objectives(rollout, *learner.judge(rollout))


def constant_critic(learner, target, fast=0.0):
    for network, value in ((learner.critic.slow, target), (learner.critic.network, fast)):
        torch.nn.init.zeros_(network[-1].weight)
        torch.nn.init.constant_(network[-1].bias, value)


def test_imagination_says_which_reward_and_end_belong_to_which_state():
    # Rewards are 100 * the count at arrival + the action; episodes end on arrival at 8.
    act = lambda features: features / 10  # noqa: E731
    rollout = imagine(
        Counter(end=8), Count(torch.tensor([5.0, 0.0])), act, 4, generator=generator()
    )
    assert rollout.features[..., 0].tolist() == [[5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]
    np.testing.assert_allclose(rollout.actions[..., 0], [[0.5, 0.6, 0.7, 0.8], [0, 0.1, 0.2, 0.3]])
    np.testing.assert_allclose(rollout.rewards[0], [600.5, 700.6, 800.7, 900.8])
    assert rollout.continues.tolist() == [[1, 1, 0, 1], [1, 1, 1, 1]]


def test_a_world_without_rewards_is_refused():
    class Mute(Counter):
        def step(self, state, action, **_):
            return state, Prediction(None, None)

    with pytest.raises(ConfigError, match="predicts no rewards"):
        imagine(Mute(), Count(torch.zeros(1)), lambda seen: seen, 1, generator=generator())


@pytest.mark.parametrize(("horizon", "going"), [(5, 0.8), (1, None)])
def test_the_gradient_through_the_dynamics_is_that_of_finite_differences(horizon, going):
    # Ends that follow from the actions count in a return; that later returns are reached more
    # rarely is no merit of the actor, and so they are left out of the longer rollout.
    learner = learner_of(PUSH, starts=8, horizon=horizon, gamma=0.9, gae_lambda=0.7).double()
    start = Count(torch.linspace(-1, 1, 8, dtype=torch.float64))

    def loss() -> Tensor:
        rollout = learner.imagine(Bent(going), start, generator(3))
        return judged(learner, rollout).actor

    for weights in learner.policy.network.parameters():
        gradient = torch.autograd.grad(loss(), weights)[0]
        direction = torch.randn(weights.shape, generator=generator(7), dtype=torch.float64)
        with torch.no_grad():
            sides = []
            for side in (1e-5, -1e-5):
                weights += side * direction
                sides.append(float(loss()))
                weights -= side * direction
        slope = (sides[0] - sides[1]) / 2e-5
        assert abs(slope) > 1e-4
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("baseline", [0.0, 1.3])
def test_the_score_function_gradient_is_that_of_the_expected_payoff(baseline):
    learner = learner_of(WALK, starts=60_000, horizon=1)
    constant_critic(learner, baseline)
    start, model = Count(torch.zeros(60_000)), Bandit(WALK)
    model.going_on = torch.zeros_like
    objectives = judged(learner, learner.imagine(model, start, generator()))
    last = learner.policy.network[-1].bias
    gradient = -torch.autograd.grad(objectives.actor * objectives.scale, last)[0]
    likely = learner.policy.network(torch.zeros(1, 1))[0].softmax(-1).detach()
    exact = likely * (Bandit.payoffs - (likely * Bandit.payoffs).sum())
    torch.testing.assert_close(gradient, exact, atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", ["discrete", "multidiscrete", "multibinary"])
def test_the_best_arm_of_every_kind_of_choice_is_found(kind):
    action = ACTIONS[kind]
    learner = learner_of(action, learning_rate=0.03, critic_learning_rate=0.03, horizon=2)
    draws = generator()
    for _ in range(80):
        learner.update(Bandit(action), Count(torch.zeros(64)), draws)
    best = {"discrete": 2, "multidiscrete": [2, 0], "multibinary": [0, 0, 0]}[kind]
    assert learner.policy.choose(torch.tensor([[0.0]]))[0].tolist() == best


def test_where_a_rollout_is_cut_the_slow_critic_goes_on_and_where_it_ended_nothing_does():
    config = {"horizon": 3, "gamma": 0.5, "gae_lambda": 1.0, "starts": 2}
    learner = learner_of(WALK, **config)
    constant_critic(learner, target=8.0)
    # Both walk to the right: the one from cell 0 is cut at 3, the other ends at 5 after a step.
    torch.nn.init.constant_(learner.policy.network[-1].weight, 0.0)
    learner.policy.network[-1].bias.data = torch.tensor([-99.0, -99.0, 99.0])
    chain = Chain(little=0.0)
    rollout = learner.imagine(chain, Count(torch.tensor([1.0, 4.0])), generator())
    assert rollout.features[..., 0].tolist() == [[1, 2, 3, 4], [4, 5, 5, 5]]
    critic_loss = judged(learner, rollout).critic
    cut = [8 * 0.5**3, 8 * 0.5**2, 8 * 0.5]
    ended = [1.0]  # and what comes after has no weight
    assert float(critic_loss.detach()) == pytest.approx(sum(x**2 for x in cut + ended) / 6 / 2)


def test_rewards_are_scaled_by_their_size():
    learner = learner_of(PUSH, horizon=1, gamma=0.0)
    constant_critic(learner, 0.0)
    learner.reward_size.fill_(10.0)
    rollout = learner.imagine(Point(), Count(torch.full((4,), 20.0)), generator())
    objectives = judged(learner, rollout)
    scaled = rollout.rewards.detach() / 10
    assert float(objectives.critic.detach()) == pytest.approx(float(scaled.square().mean() / 2))
    assert float(objectives.reward.detach()) == pytest.approx(
        float(rollout.rewards.detach().mean())
    )


def test_the_actor_climbs_returns_divided_by_their_spread_so_far():
    learner = learner_of(PUSH, horizon=1, gamma=0.0, entropy=0.0)
    constant_critic(learner, 0.0)
    rollout = learner.imagine(Point(), Count(torch.linspace(-20, 20, 101)), generator())
    returns = rollout.rewards.detach()
    spread = float(torch.quantile(returns, torch.tensor([0.05, 0.95])).diff())
    assert spread > 2
    plain = float(judged(learner, rollout).actor.detach())
    assert plain == pytest.approx(-float(returns.mean()))
    learner.returns.update(returns)
    learner.returns.update(returns)
    assert float(judged(learner, rollout).actor.detach()) == pytest.approx(plain / spread)


def test_an_update_sees_the_spread_of_its_own_returns():
    learner = learner_of(PUSH, horizon=1, gamma=0.0)
    told = learner.update(Point(), Count(torch.linspace(-20, 20, 101)), generator())
    assert float(told.scale) > 2 and learner.returns.weight > 0


def test_the_entropy_that_is_told_is_that_of_where_rollouts_live():
    learner = learner_of(WALK, entropy=0.5, horizon=4)
    network = learner.policy.network[-1]
    torch.nn.init.zeros_(network.weight)
    network.bias.data = torch.tensor([0.0, 0.0, 3.0])
    dying = Bandit(WALK)
    dying.going_on = lambda arrival: torch.full_like(arrival, 0.1)
    rollout = learner.imagine(dying, Count(torch.zeros(64)), generator())
    entropy = Categorical(logits=network.bias).entropy()
    flat = rollout._replace(rewards=torch.zeros_like(rollout.rewards))
    constant_critic(learner, 0.0)
    objectives = judged(learner, flat)
    torch.testing.assert_close(objectives.entropy, entropy)
    share = (1 + 0.1 + 0.01 + 0.001) / 4  # of the steps, with which the actor's loss counts it
    torch.testing.assert_close(objectives.actor, -0.5 * share * entropy)


def test_to_judge_and_to_say_what_is_taught_changes_nothing():
    learner = learner_of(WALK, starts=64)
    learner.returns.update(torch.linspace(0, 100, 101))
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    rollout = learner.imagine(Bandit(WALK), Count(torch.zeros(64)), generator())
    one, two = (judged(learner, rollout) for _ in range(2))
    assert one == two
    for name, tensor in learner.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_entropy_alone_makes_a_policy_draw_evenly():
    learner = learner_of(WALK, entropy=1.0, learning_rate=0.03, horizon=2)
    torch.nn.init.constant_(learner.policy.network[-1].bias[0:1], 2.0)
    flat = Bandit(WALK)
    flat.payoffs = torch.zeros(3)
    for _ in range(150):
        objectives = learner.update(flat, Count(torch.zeros(64)), generator())
    assert float(objectives.entropy) == pytest.approx(np.log(3), abs=0.01)


def test_an_update_leaves_the_world_alone_and_its_slow_critic_behind():
    learner = learner_of(PUSH, target_rate=0.25)
    model = Bent(0.9)
    weight = torch.ones((), requires_grad=True)
    model.reward = lambda arrival: weight * arrival
    before = [tensor.clone() for tensor in learner.critic.slow.parameters()]
    learner.update(model, Count(torch.zeros(5)), generator())
    assert weight.grad is None
    pairs = zip(learner.critic.slow.parameters(), learner.critic.network.parameters(), strict=True)
    for (slow, fast), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(slow, 0.75 * old + 0.25 * fast)
        assert not torch.equal(fast, old)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizon", 0),
        ("starts", -1),
        ("gamma", 1.01),
        ("gae_lambda", -0.1),
        ("learning_rate", 0.0),
        ("entropy", float("nan")),
        ("hidden", (0,)),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name}.* got"):
        ActorCriticConfig(**{name: value})


class Reads(TorchDispatchMode):
    """Counts how often the host asks for a number, for which it would wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        asks = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.count += function in asks
        return function(*args, **(kwargs or {}))


def test_the_host_never_waits_for_what_was_imagined():
    world = tiny_world("box")
    shape = {"hidden": (4,), "activation": "tanh", "world": "", "squashed": True}
    config = PolicyConfig(feature_dim=6, action=world.action, **shape)
    learner = Learner(ActorCriticConfig(horizon=3, hidden=(4,)), config)
    with Reads() as reads:
        rollout = learner.imagine(world.model, start_pool(world).states, generator())
        objectives = judged(learner, rollout)
        objectives.actor.backward()
    assert reads.count == 0
    with Reads() as reads:
        float(objectives.scale)
    assert reads.count == 1


def test_a_new_learner_leaves_the_random_numbers_of_every_device_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    one, same, other = (learner_of(PUSH, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert not seeded
    weights = [next(learner.policy.network.parameters()) for learner in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
