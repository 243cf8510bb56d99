"""Planners find the best plans of worlds where these are known, each row for itself."""

import math
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from oracle import Count
from planned import BIT, BOX, Cart, Chance, Cliff, Clock, Fragile, Lock, Quadratic
from worlds import ACTIONS, tiny_model, tiny_world

from srvp_world.agents.evaluate import roll
from srvp_world.agents.planning import METHODS, Planner, PlannerConfig
from srvp_world.config import from_json, to_json
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.errors import ConfigError
from srvp_world.spaces import ActionSpec

THOROUGH = PlannerConfig(
    horizon=5, samples=200, elites=20, iterations=50, min_std=0.02, gamma=0.9, colour=0.5
)
SMALL = PlannerConfig(horizon=5, samples=48, elites=6, iterations=3)
STARTS = Count(torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 1.0, 0.5], [0.5, 0.5, -0.5, 1.0]]))
KEYS = Count(torch.tensor([[0.0, 1.0], [0.0, 2.0], [3.0, 0.0], [1.0, 5.0]]))


def count(*numbers):
    return Count(torch.tensor(numbers, dtype=torch.float32))


def fresh(world, config=SMALL, state=None, **arguments):
    """Plan with a new planner."""
    state = count(0.0) if state is None else state
    return Planner(world, config, **arguments).plan(state)


@pytest.mark.parametrize("method", METHODS)
def test_the_optimum_of_a_quadratic_world_is_found_in_every_row(method):
    world = Quadratic()
    best, worth = world.best(STARTS, THOROUGH.horizon, THOROUGH.gamma)
    low, high = torch.tensor(BOX.low), torch.tensor(BOX.high)
    assert ((best > low) & (best < high)).all() and (best[0] - best[1]).abs().max() > 1
    plan = fresh(world, replace(THOROUGH, method=method), STARTS)
    torch.testing.assert_close(plan.sequence, best, atol=0.1, rtol=0)
    torch.testing.assert_close(plan.value, worth, atol=5e-3, rtol=0)
    assert torch.equal(plan.action, plan.sequence[:, 0])


@pytest.mark.parametrize("method", METHODS)
def test_plans_stay_in_the_box(method):
    far = Count(torch.tensor([[0.0, 0.0, 50.0, -50.0]]))
    plan = fresh(Quadratic(), replace(THOROUGH, method=method, horizon=1), far)
    push = torch.tensor([[0.3, -0.5], [0.6, 0.4]]).T @ torch.tensor([50.0, -50.0])
    wanted = torch.where(push > 0, torch.tensor(BOX.high), torch.tensor(BOX.low))
    assert torch.equal(plan.action[0], wanted)


@pytest.mark.parametrize(
    "action",
    [
        ActionSpec(kind="discrete", nvec=(3,)),
        ActionSpec(kind="multidiscrete", shape=(2,), nvec=(3, 2)),
        ActionSpec(kind="multibinary", shape=(2,), nvec=(2, 2)),
    ],
    ids=lambda action: action.kind,
)
def test_the_optimum_of_a_chain_of_choices_is_found_in_every_row(action):
    world, horizon, gamma = Lock(action), 4, 0.9
    config = PlannerConfig(horizon=horizon, samples=800, elites=20, iterations=8, gamma=gamma)
    plan = fresh(world, config, KEYS)
    place, total = KEYS.number[:, 0], torch.zeros(4)
    for t in range(horizon):  # who always follows the code arrives soonest, and stays
        chosen = world.code(place, KEYS.number[:, 1])
        place = (place + 1).clamp(max=world.places)
        total += gamma**t * (place == world.places)
        given = plan.sequence[:, t, None] if action.kind == "discrete" else plan.sequence[:, t]
        assert torch.equal(given, chosen)
    torch.testing.assert_close(plan.value, total)


@pytest.mark.parametrize("pays", [True, False])
def test_ends_are_avoided_whether_or_not_a_world_predicts_rewards(pays):
    config = replace(SMALL, gamma=0.9, horizon=6)
    plan = fresh(Cliff(pays), config, count(3.0, 2.0, -9.0))
    assert plan.action[0] == 0
    alive = sum(0.9**t for t in range(6))
    torch.testing.assert_close(plan.value, torch.full((3,), alive))


@pytest.mark.parametrize("payday", [1, 3, 5, 6])
def test_the_first_and_the_last_step_of_the_horizon_count_and_no_other(payday):
    config = replace(SMALL, gamma=0.5, horizon=5)
    plan = fresh(Clock(payday), config)
    worth = 0.5 ** (payday - 1) if payday <= 5 else 0.0
    assert plan.value.item() == worth
    if payday <= 5:
        assert plan.sequence[0, payday - 1] == 1


@pytest.mark.parametrize(("end", "worth"), [(2, 0.0), (3, 0.25), (4, 0.25)])
def test_the_step_that_ends_a_dream_is_paid_and_none_after_it(end, worth):
    assert fresh(Clock(3, end), replace(SMALL, gamma=0.5)).value.item() == worth


def test_a_likely_end_discounts_what_comes_after():
    plan = fresh(Clock(3, going_on=0.6), replace(SMALL, gamma=0.5))
    torch.testing.assert_close(plan.value, torch.tensor([(0.5 * 0.6) ** 2]))


def test_what_lies_beyond_the_horizon_is_worth_what_one_says():
    config = replace(SMALL, gamma=0.5, horizon=3)
    plan = fresh(Clock(99, going_on=0.6), config, terminal=lambda features: 10 * features[:, 0])
    torch.testing.assert_close(plan.value, torch.tensor([(0.5 * 0.6) ** 3 * 10 * 3]))
    dead = fresh(Clock(99, end=2), config, terminal=lambda features: 10 * features[:, 0])
    assert dead.value.item() == 0
    with pytest.raises(ConfigError, match=r"one value a row, \(48,\), got shape \(48, 1\)"):
        fresh(Clock(99), config, terminal=lambda features: features)


@pytest.mark.parametrize("method", METHODS)
def test_a_row_owes_nothing_to_its_neighbours(method):
    def plans(state):
        planner = Planner(Quadratic(), replace(SMALL, method=method), seed=3)
        first = planner.plan(state)
        return first, planner.plan(state, first)

    together = plans(STARTS)
    for row in range(3):
        for joint, alone in zip(together, plans(STARTS.index(torch.tensor([row]))), strict=True):
            assert torch.equal(joint.sequence[row], alone.sequence[0])
            assert torch.equal(joint.value[row], alone.value[0])


def test_a_row_of_choices_owes_nothing_to_its_neighbours():
    world = Lock(ActionSpec(kind="multidiscrete", shape=(2,), nvec=(3, 2)))
    together = fresh(world, SMALL, KEYS)
    for row in range(4):
        alone = fresh(world, SMALL, KEYS.index(torch.tensor([row])))
        assert torch.equal(together.sequence[row], alone.sequence[0])


def drive(config, warm, seed, steps=20):
    """Drive carts from several places; give their mean return, and what was promised."""
    world, state = Cart(), count([2.0, 0.0], [-1.0, 1.0], [0.5, -2.0], [3.0, 1.0])
    planner, plan, total, promised = Planner(world, config, seed=seed), None, 0.0, []
    for _ in range(steps):
        plan = planner.plan(state, plan if warm else None)
        promised.append(plan.value)
        state, prediction = world.step(state, plan.action)
        total += prediction.reward.mean().item()
    return total, promised


@pytest.mark.parametrize("method", METHODS)
def test_a_warm_start_is_better_for_the_same_samples(method):
    config = PlannerConfig(method=method, horizon=10, samples=16, elites=4, iterations=2)
    cold, warm = (sum(drive(config, on, seed)[0] for seed in range(3)) for on in (False, True))
    assert warm > cold + 1


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_is_never_worse_than_what_is_left_of_the_last_one(method):
    world, gamma = Clock(6), 0.5
    world.action = BIT
    config = PlannerConfig(horizon=8, samples=4, elites=2, iterations=1, gamma=gamma)
    if method != "cem":
        world = Cart()
        config = replace(config, method=method)
    state = count(0.0) if method == "cem" else count([2.0, 0.0])
    planner = Planner(world, config)
    plan = planner.plan(state)
    for _ in range(6):
        left = torch.cat([plan.sequence[:, 1:], plan.sequence[:, -1:]], dim=1)
        state, _ = world.step(state, plan.action)
        plan = planner.plan(state, plan)
        now, worth = state, torch.zeros(1)
        for t in range(8):
            now, prediction = world.step(now, left[:, t])
            worth = worth + gamma**t * prediction.reward
        assert plan.value >= worth - 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_no_sequence_is_imagined_twice_side_by_side(method):
    world, seen = Quadratic(), []
    step = world.step
    world.step = lambda state, action, **noise: (seen.append(action), step(state, action))[1]
    planner = Planner(world, replace(SMALL, method=method))
    planner.plan(STARTS, planner.plan(STARTS))
    sequences = rearrange(torch.stack(seen), "(i t) (b n) w -> (i b) n (t w)", t=5, b=3)
    assert sequences.shape[:2] == (2 * 3 * 3, 48)
    assert all(len(row.unique(dim=0)) == 48 for row in sequences)


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.5, "particles": 3}])
def test_a_plan_is_worth_what_its_own_sequence_brings(changes):
    world, state, worth = Quadratic(), STARTS, torch.zeros(3)
    plan = fresh(world, replace(SMALL, **changes), state)  # noise changes nothing in this world
    for t in range(SMALL.horizon):
        state, prediction = world.step(state, plan.sequence[:, t])
        worth += SMALL.gamma**t * prediction.reward
    torch.testing.assert_close(plan.value, worth)


@pytest.mark.parametrize("method", METHODS)
def test_no_iteration_does_worse_than_the_one_before(method):
    rough = replace(SMALL, method=method, samples=8, elites=6, min_std=1.0)
    rounds = [fresh(Quadratic(), replace(rough, iterations=n), STARTS).value for n in range(1, 7)]
    assert (torch.stack(rounds).diff(dim=0) >= 0).all()


def test_mppi_lies_between_cem_and_the_best_sequence_alone():
    hot, cold = (replace(SMALL, method="mppi", mppi_temperature=t) for t in (1e7, 1e-7))
    cem = fresh(Quadratic(), SMALL, STARTS)
    torch.testing.assert_close(fresh(Quadratic(), hot, STARTS).sequence, cem.sequence)
    first, last = (
        fresh(Quadratic(), replace(cold, iterations=n, min_std=0.0, momentum=0.0), STARTS)
        for n in (1, 5)
    )
    torch.testing.assert_close(first.sequence, last.sequence)
    assert (cem.sequence - first.sequence).abs().max() > 0.1


def test_a_seed_gives_the_same_plans_and_another_seed_others():
    def plans(seed):
        planner = Planner(Quadratic(), SMALL, seed=seed)
        first = planner.plan(STARTS)
        return torch.stack([first.sequence, planner.plan(STARTS, first).sequence])

    assert torch.equal(plans(1), plans(1))
    assert not torch.equal(plans(1), plans(2))


def test_chance_is_left_out_at_temperature_0_and_shared_by_all_sequences_above():
    assert fresh(Chance()).value.item() == 0
    thorough = replace(SMALL, iterations=20, samples=200, min_std=0.0, gamma=1.0, temperature=0.5)
    plan = fresh(Chance(), thorough, seed=4)
    luck = torch.randn(5, 1, 1, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(plan.value, 0.5 * luck.abs().sum()[None], atol=0.02, rtol=0)
    many = fresh(Chance(), replace(SMALL, gamma=1.0, temperature=0.5, particles=400), seed=4)
    assert many.value.item() < 0.3 < plan.value.item()


def test_doubt_costs_what_the_penalty_says():
    lucky = replace(SMALL, iterations=20, samples=200, min_std=0.0, gamma=1.0, temperature=0.5)
    luck = 0.5 * torch.randn(5, generator=torch.Generator().manual_seed(4)).abs()
    plan = fresh(Chance(), replace(lucky, penalty=0.25), seed=4)
    wanted = (luck - 0.25).clamp(min=0).sum()[None]  # |action| costs 0.25, and pays the luck
    torch.testing.assert_close(plan.value, wanted, atol=0.02, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_broken_dreams_are_not_followed(method, broken):
    config = replace(SMALL, method=method, horizon=1, iterations=6, gamma=1.0)
    assert 0.4 < fresh(Fragile(broken), config).value.item() <= 0.5
    few = replace(config, samples=6, elites=4, iterations=20)  # most elites are broken, at times
    for seed in range(20):
        assert fresh(Fragile(broken), few, seed=seed).value.item() > 0.4


@pytest.mark.parametrize("kind", [kind for kind in ACTIONS if kind != "none"])
@pytest.mark.parametrize("changes", [{}, {"temperature": 1.0, "particles": 2}])
def test_srvp_is_planned_in_whatever_its_actions_are(kind, changes):
    world = tiny_world(kind)
    dream = DreamVectorEnv(3, world, obs="latent", output="torch")
    dream.reset(seed=0)
    plan = Planner(world.model, replace(SMALL, **changes)).plan(dream.state)
    assert plan.sequence.shape == (3, 5, *world.action.shape)
    world.action.check(plan.action.numpy())
    assert not plan.value.requires_grad and plan.value.isfinite().all()


def test_a_planner_acts_in_a_torch_dream():
    """The dream's own rewards come out as planned, where nothing is left to chance."""
    world = tiny_world("box", tiny_model("box", continuation=False))
    settings = {"obs": "latent", "output": "torch", "autoreset_mode": "Disabled"}
    dream = DreamVectorEnv(4, world, **settings, temperature=0.0)
    planner, plan = Planner(world.model, replace(SMALL, horizon=9, gamma=1.0)), None
    promised = []

    def choose(_):
        nonlocal plan
        plan = planner.plan(dream.state, plan)
        promised.append(plan.value)
        return plan.action

    planned, lengths = roll(dream, choose, seed=0)
    assert lengths.tolist() == [dream.horizon] * 4 == [9] * 4
    assert (planned >= promised[0] - 1e-4).all()  # each plan is at least as good as the last
    still, _ = roll(dream, lambda _: torch.zeros(4, 2), seed=0)
    assert (planned > still).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "ce"}, "no planner 'ce': did you mean 'cem'?"),
        ({"horizon": 0}, "horizon of a planner must be at least 1, got 0"),
        ({"samples": 9}, r"samples of a planner must be at least elites \+ 2, 10, got 9"),
        ({"elites": 0}, "elites of a planner must be at least 1, got 0"),
        ({"iterations": 0}, "iterations of a planner must be at least 1, got 0"),
        ({"gamma": 0.0}, r"gamma of a planner must be in \(0, 1\], got 0.0"),
        ({"gamma": float("nan")}, "gamma .* got nan"),
        ({"momentum": 1.0}, r"momentum of a planner must be in \[0, 1\), got 1.0"),
        ({"keep": 1.5}, r"keep of a planner must be in \[0, 1\], got 1.5"),
        ({"std": 0.0}, "std of a planner must be positive, got 0.0"),
        ({"mppi_temperature": 0.0}, "mppi_temperature of a planner must be positive"),
        ({"penalty": -1.0}, "penalty of a planner must not be negative, got -1.0"),
        ({"colour": 9.0}, r"colour of a planner must be in \[0, 8\], got 9.0"),
        ({"std": math.inf}, "std of a planner must be a finite number, got inf"),
        ({"temperature": math.inf}, "temperature of a planner must be a finite number"),
        ({"penalty": math.inf}, "penalty of a planner must be a finite number"),
        ({"horizon": 2.5}, "horizon of a planner must be a whole number, got 2.5"),
        ({"particles": 3}, "3 particles of temperature 0 are all alike"),
    ],
)
def test_what_plans_nothing_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        PlannerConfig(**{"samples": 64, "elites": 8, **changes})


def test_worlds_that_cannot_be_planned_in_are_refused():
    with pytest.raises(ConfigError, match="takes no actions"):
        Planner(tiny_model("none"))
    with pytest.raises(ConfigError, match="neither rewards nor ends"):
        Planner(tiny_model("box", reward=False, continuation=False))
    for method in ("icem", "mppi"):
        with pytest.raises(ConfigError, match=rf"'{method}' is for boxes, .*Discrete\(3\): use"):
            Planner(tiny_model("discrete"), PlannerConfig(method=method))
    with pytest.raises(ConfigError, match="cannot tell how uncertain"):
        Planner(tiny_model("box"), PlannerConfig(penalty=0.1))


def test_a_plan_of_other_rows_is_no_warm_start():
    planner = Planner(Quadratic(), SMALL)
    plan = planner.plan(STARTS)
    with pytest.raises(ConfigError, match="does not fit 1 states and a horizon of 5"):
        planner.plan(STARTS.index(torch.tensor([0])), plan)
    with pytest.raises(ConfigError, match="does not fit 3 states and a horizon of 4"):
        Planner(Quadratic(), replace(SMALL, horizon=4)).plan(STARTS, plan)
    narrow = replace(plan, elites=plan.elites[..., :1])
    with pytest.raises(ConfigError, match=r"does not fit 3 states and a horizon of 5 \(2 wide\)"):
        planner.plan(STARTS, narrow)


def test_a_configuration_survives_json():
    assert from_json(PlannerConfig, to_json(THOROUGH)) == THOROUGH
    with pytest.raises(ConfigError, match="'sample': did you mean 'samples'?"):
        from_json(PlannerConfig, {"sample": 3})


def test_planning_leaves_the_world_and_the_global_chance_alone():
    before = torch.get_rng_state()
    fresh(Quadratic(), replace(SMALL, temperature=1.0), STARTS)
    assert torch.equal(before, torch.get_rng_state())
