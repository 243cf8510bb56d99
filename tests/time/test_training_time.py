"""What a loss compares: networks that know the rules have nothing to learn from aligned data."""

import math
from dataclasses import replace

import pytest
import torch
from diary import LABEL, Rules, read, record
from knowing import PAGE, POSTERIOR, PRIOR, knowing
from worlds import generator

from srvp_world.benchmark.filtering import one_step_ahead, surprise
from srvp_world.config import ObjectiveConfig
from srvp_world.data.windows import WindowSampler, to_batch
from srvp_world.world import Batch, Observation

DREAMING = ObjectiveConfig(consistency=1.0, overshooting=2)
CASES = [
    (Rules(length=7, delay=0), {}),
    (Rules(length=7, delay=1), {"vector": True, "ensemble": 2}),
    (Rules(length=5, delay=1, repeat=2), {"vector": True, "ensemble": 2}),
    (Rules(length=4, delay=1, terminates=False), {}),
    (Rules(length=7, delay=1), {"filter": "state", "code_head": True, "objective": DREAMING}),
]
SURPRISE = (PAGE + 1) * (math.log(PRIOR / POSTERIOR) - 0.5)  # nats of one innovation that is known


@pytest.fixture(scope="module", params=CASES, ids=["plain", "late", "repeat", "truncated", "ahead"])
def case(request, tmp_path_factory):
    """Give a model that knows a diary, and windows and whole episodes of it."""
    rules, options = request.param
    pixels = replace(rules.pixels, vector="vector" in options)
    data = record(tmp_path_factory.mktemp("data"), pixels, episodes=8)
    sampler = WindowSampler(
        data, batch_size=24, window=5, episode_start_fraction=0.25, min_frames=2, seed=0
    )
    episodes = to_batch([data.read(i, 0, None if i else 3) for i in range(len(data))])  # one is cut
    return knowing(rules, **options), sampler.batch(0), episodes


def likelihood(count: int, std: float) -> float:
    """The least negative log-likelihood of so many numbers."""
    return count * (math.log(std) + 0.5 * math.log(2 * math.pi))


def least(model, batch: Batch) -> dict[str, float]:
    """Every term of the loss as it is where nothing is left to learn, but `residuals`."""
    rows, objective = len(batch.frames), model.config.objective
    frames, arrivals = int(batch.valid.sum()), int(batch.valid[:, 1:].sum())
    terms = {
        "frames": likelihood(frames * 32 * 32, objective.observation_std),
        "kl_z": arrivals * SURPRISE,
        "reward": likelihood(arrivals, objective.reward_std),
        "continuation": 0.0,
    }
    if batch.vector is not None:
        terms |= {"vector": likelihood(frames * PAGE, objective.vector_std), "ensemble": 0.0}
    if model.config.code_head:
        terms["codes"] = likelihood(frames * PAGE, objective.code_std)
    if objective.overshooting:
        steps, length = objective.overshooting, batch.valid.shape[1]
        starts = length - steps
        ahead = sum(int(batch.valid[:, i + 1 : i + 1 + starts].sum()) for i in range(steps)) / steps
        each = likelihood(PAGE, objective.code_std) + likelihood(1, objective.reward_std)
        terms |= {"overshooting": ahead * each, "consistency": 0.0}
    return {name: value / rows for name, value in terms.items()}


NOTHING = pytest.approx(0, abs=0.01)


def excess(model, batch: Batch) -> dict[str, float]:
    terms = model.loss(batch, generator()).terms
    return {name: float(terms[name]) - value for name, value in least(model, batch).items()}


def test_who_knows_the_rules_has_nothing_to_learn(case):
    model, windows, episodes = case
    for batch in (windows, episodes):
        assert all(over == NOTHING for over in excess(model, batch).values())


def later(values):
    return torch.cat([values[:, 1:], values[:, -1:]], dim=1)


def earlier(values):
    return torch.cat([values[:, :1], values[:, :-1]], dim=1)


SUFFERS = {  # at least; the last two: nothing else
    "actions": {"kl_z", "reward"},
    "vector": {"kl_z", "vector"},
    "frames": {"kl_z", "reward", "continuation"},
    "rewards": {"reward"},
    "continues": {"continuation"},
}


@pytest.mark.parametrize("shift", [earlier, later])
def test_a_shift_by_one_is_felt_where_it_belongs(case, shift):
    model, windows, _ = case
    ends = bool((windows.continues == 0).any())
    for name, suffers in SUFFERS.items():
        values = getattr(windows, name)
        if values is None or (name == "continues" and not ends):
            continue
        found = excess(model, replace(windows, **{name: shift(values)}))
        broken = {term for term, x in found.items() if x > 0.1}
        expected = suffers if ends else suffers - {"continuation"}
        assert broken >= expected, name
        if "overshooting" in found:  # looks at all that the others look at
            broken.remove("overshooting")
        assert broken == expected or name not in ("rewards", "continues"), name


def test_what_lies_past_an_end_costs_nothing_whatever_it_is(case):
    model, _, episodes = case
    grown = {"episode_start": episodes.episode_start}
    for name in ("frames", "valid", "actions", "rewards", "continues", "vector"):
        value = getattr(episodes, name)
        if value is not None:
            # Huge, but no NaN, which would get through any mask.
            odd = {"valid": False, "actions": 3}.get(name, 1e6)
            grown[name] = torch.cat([value, torch.full_like(value[:, :1], odd)], dim=1)
    longer = Batch(**grown)
    assert all(over == NOTHING for over in excess(model, longer).values())


@pytest.mark.parametrize("context", [1, 2, 3])
def test_previews_go_on_as_it_went_on(case, context):
    model, *batches = case
    for batch in batches:
        begins = torch.ones_like(batch.episode_start)  # so that one frame is enough
        shown = model.preview(replace(batch, episode_start=begins), context, generator())
        assert torch.equal(read(shown)[batch.valid], read(batch.frames)[batch.valid])


def test_watching_and_imagining_arrive_at_the_pages_of_the_data(case):
    """Of one time are: the action that `observe` is told, and the one that `step` takes."""
    model, _, episodes = case
    pages, begins = read(episodes.frames), torch.ones_like(episodes.episode_start)

    def seen(times):
        vector = None if episodes.vector is None else episodes.vector[:, times]
        return Observation(episodes.frames[:, times], vector)

    state = model.encode(seen(slice(0, 1)), episodes.actions[:, :0], episode_start=begins)
    for t in range(1, pages.shape[1]):
        action, valid = episodes.actions[:, t - 1], episodes.valid[:, t]
        imagined, said = model.step(state, action)
        state = model.observe(state, seen(t), action)
        for arrived in (imagined, state):
            torch.testing.assert_close(
                model.features(arrived)[valid], pages[valid, t], atol=0.05, rtol=0
            )
        reward, going_on = said
        torch.testing.assert_close(reward[valid], episodes.rewards[valid, t - 1], atol=0.05, rtol=0)
        assert ((going_on > 0.5) == (episodes.continues[:, t - 1] == 1))[valid].all()
        whole = model.encode(seen(slice(0, t + 1)), episodes.actions[:, :t], episode_start=begins)
        torch.testing.assert_close(whole.y[valid], state.y[valid], atol=0.05, rtol=0)


def test_the_filter_of_a_report_is_never_surprised(case):
    model, _, episodes = case
    begun = replace(episodes, episode_start=torch.ones_like(episodes.episode_start))
    quality, features = one_step_ahead(model, begun, 1)
    happened = begun.valid[:, 1:]
    assert (quality[happened] > 90).all() and quality[~happened].isnan().all()
    assert torch.equal(features.round()[begun.valid], read(begun.frames)[begun.valid])
    kl = surprise(model, begun, 1)
    assert torch.equal(kl.isnan(), ~happened)
    torch.testing.assert_close(kl[happened], torch.full_like(kl[happened], SURPRISE))
    assert (read(begun.frames)[:, 0, LABEL] > 0).all()
