"""The dream: rows that are their own, resets by mask, and ends where they belong."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from oracle import counting_world
from torch import Tensor
from worlds import KINDS, tiny_model, tiny_world

from srvp_world.checkpoint import World
from srvp_world.envs.actions import NOISE_BOUND
from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.starts import start_pool, watch_clips

SEEDS = [5, 3, 11, 8]


Step = tuple[np.ndarray, float, bool, bool]


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    return tiny_world(request.param)


def as_numpy(value: np.ndarray | Tensor) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else value


def actions_of(dream: DreamVectorEnv, row: int, steps: int) -> list[np.ndarray]:
    """Draw the actions of one row, whatever its place in a batch."""
    space = dream.single_action_space
    space.seed(SEEDS[row])
    return [np.asarray(space.sample()) for _ in range(steps)]


def play(dream: DreamVectorEnv, rows: list[int], steps: int = 12) -> list[list[Step]]:
    """Dream on from seeds with the actions of those rows; list what happened in each."""
    observations, _ = dream.reset(seed=[SEEDS[row] for row in rows])
    stories: list[list[Step]] = [
        [(as_numpy(observations)[i], 0.0, False, False)] for i in range(len(rows))
    ]
    columns = zip(*(actions_of(dream, row, steps) for row in rows), strict=True)
    for actions in columns:
        given = np.stack(actions)
        out = dream.step(torch.tensor(given) if dream.output == "torch" else given)
        values = [as_numpy(value) for value in out[:4]]
        for i, story in enumerate(stories):
            story.append(tuple(value[i] for value in values))
    return stories


def assert_same(one: list[Step], two: list[Step]) -> None:
    assert len(one) == len(two)
    for (x, reward, *ends), (other_x, other_reward, *other_ends) in zip(one, two, strict=True):
        assert ends == other_ends
        np.testing.assert_allclose(reward, other_reward, atol=1e-4)
        np.testing.assert_allclose(
            x.astype(float), other_x.astype(float), atol=1 if x.dtype == np.uint8 else 1e-4
        )


CASES = [
    {"obs": "latent"},
    {"obs": "latent", "output": "torch", "end": "sample"},
    {"obs": "pixels", "start": "first", "end": "sample"},
    {"obs": "pixels", "output": "torch", "start": "prior"},
    {"obs": "latent", "start": "prior", "end": "sample"},
    {"obs": "latent", "autoreset_mode": "NextStep", "end": "sample"},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_row_dreams_alone_what_it_dreams_in_company(world: World, options: dict):
    together = play(DreamVectorEnv(4, world, horizon=7, **options), [0, 1, 2, 3])
    for row in range(4):
        alone = play(DreamVectorEnv(1, world, horizon=7, **options), [row])
        assert_same(together[row], alone[0])
    other = play(DreamVectorEnv(3, world, horizon=7, **options), [3, 1, 1])
    assert_same(other[0], together[3])
    assert_same(other[1], other[2])
    assert any(step[2] or step[3] for story in together for step in story)
    assert not np.allclose(together[0][5][0], together[1][5][0])


def test_the_same_seed_is_the_same_dream(world: World):
    dream = DreamVectorEnv(2, world, obs="latent", horizon=7, end="sample")
    first = play(dream, [0, 1])
    assert_same(play(dream, [0, 1])[1], first[1])
    assert not np.allclose(play(dream, [1, 0])[0][0][0], first[0][0][0])
    observation, _ = dream.reset(seed=20)
    several, _ = DreamVectorEnv(2, world, obs="latent").reset(seed=[20, 21])
    np.testing.assert_allclose(observation, several)
    more, _ = dream.reset()
    again, _ = dream.reset()
    assert not np.allclose(more, again), "without a seed the streams go on"
    options = {"obs": "latent", "start": "prior"}  # no two starts are alike
    fresh = [DreamVectorEnv(2, world, **options).reset()[0] for _ in range(2)]
    assert not np.allclose(*fresh), "unseeded dreams differ"


def test_a_reset_of_some_rows_touches_no_other(world: World):
    options = {"obs": "latent", "autoreset_mode": AutoresetMode.DISABLED, "horizon": 30}
    actions = np.stack([*zip(*(actions_of_space(world, row, 6) for row in range(3)), strict=True)])
    dreams = [DreamVectorEnv(3, endless(world), **options) for _ in range(2)]
    for dream in dreams:
        dream.reset(seed=0)
        dream.step(actions[0])
    mask = np.array([False, True, False])
    request = {"reset_mask": mask}
    observation, infos = dreams[0].reset(options=request)
    assert request == {"reset_mask": mask}
    assert infos["_start"].tolist() == mask.tolist()
    assert dreams[0].elapsed.tolist() == [1, 0, 1]
    for given in actions[1:]:
        one, two = (dream.step(given) for dream in dreams)
        for a, b in zip(one[:4], two[:4], strict=True):
            np.testing.assert_allclose(a[[0, 2]], b[[0, 2]], atol=1e-6)
        assert not np.allclose(one[0][1], two[0][1])
    seeded, _ = dreams[0].reset(seed=[1, 2, 3], options={"reset_mask": torch.tensor(mask)})
    np.testing.assert_allclose(seeded[[0, 2]], one[0][[0, 2]])
    one, two = (dream.step(actions[0]) for dream in dreams)
    np.testing.assert_allclose(one[0][[0, 2]], two[0][[0, 2]], atol=1e-6)
    whole, _ = dreams[1].reset(seed=[1, 2, 3])
    np.testing.assert_allclose(seeded[1], whole[1])


def actions_of_space(world: World, row: int, steps: int) -> list[np.ndarray]:
    return actions_of(DreamVectorEnv(1, world), row, steps)


def endless(world: World) -> World:
    """The same world, whose dreams never terminate."""
    kind = world.action.kind
    return tiny_world(kind, tiny_model(kind, continuation=False))


def test_starts_of_every_kind():
    counts = counting_world(10, 50, length=3)

    def starts(kind: str) -> set[float]:
        dream = DreamVectorEnv(200, counts, obs="latent", start=kind)
        observation, infos = dream.reset(seed=0)
        assert set(infos["start"]) == {kind}
        return set(observation[:, 0])

    assert starts("first") == {10, 50}
    assert starts("data") == {10, 11, 12, 50, 51, 52}
    assert starts("prior") == {110, 111, 112, 150, 151, 152}


def test_starts_are_chosen_evenly():
    dream = DreamVectorEnv(3000, counting_world(10, 50, length=2), obs="latent")
    observation, _ = dream.reset(seed=0)
    _, counts = np.unique(observation, return_counts=True)
    assert (abs(counts / 750 - 1) < 0.15).all()


def test_the_prior_starts_from_noise_with_content_of_a_clip(world: World):
    dream = DreamVectorEnv(300, world, obs="latent", start="prior")
    dream.reset(seed=0)
    y = dream.state.y
    assert abs(y.mean()) < 0.1
    assert abs(y.std() - 1) < 0.05
    known = {tuple(w) for w in start_pool(world).states.bank.w.tolist()}
    assert {tuple(w) for w in dream.state.w.tolist()} == known


def test_a_pool_of_your_own(world: World):
    other = watch_clips(world.model, tiny_world(world.action.kind, world.model, (3, 3)).starts)
    dream = DreamVectorEnv(50, world, obs="latent", pool=other)
    dream.reset(seed=0)
    assert dream.state.bank is other.states.bank


def test_content_is_shared_and_latent_dreams_build_no_skips():
    world = tiny_world("box", tiny_model("box", skips=True))
    dream = DreamVectorEnv(64, world, obs="latent", horizon=3)
    dream.reset(seed=0)
    for _ in range(5):
        dream.step(np.zeros((64, 2)))
        assert dream.state.bank is start_pool(world).states.bank
    dream.reset(options={"reset_mask": np.arange(64) < 9})
    assert dream.state.bank is start_pool(world).states.bank
    assert [maps.shape[0] for maps in dream.state.bank.skips] == [3, 3, 3]


def test_worlds_without_actions_play_or_are_steered():
    world = tiny_world("none", tiny_model("none", continuation=False))
    playing = DreamVectorEnv(2, world, obs="latent")
    assert playing.actions == "none"
    steered = DreamVectorEnv(2, world, obs="latent", actions="noise", temperature=0.3)
    assert steered.single_action_space.shape == (world.model.noise_dim,)
    assert steered.single_action_space.high.max() == NOISE_BOUND
    for dream in (playing, steered):
        dream.reset(seed=0)
    np.testing.assert_allclose(playing.state.y, steered.state.y)
    noise = np.float32([[1, -2, 3], [0, 9, 0]])
    expected, prediction = world.model.step(steered.state, noise=torch.tensor(noise).clamp(-3, 3))
    observation, reward, *_ = steered.step(noise)
    np.testing.assert_allclose(observation, world.model.features(expected), atol=1e-6)
    np.testing.assert_allclose(reward, prediction.reward, atol=1e-6)
    assert not np.allclose(playing.step(np.zeros(2, int))[0], observation)


def test_temperature_is_that_of_the_model(world: World):
    cold = DreamVectorEnv(
        2, world, obs="latent", temperature=0.0, autoreset_mode=AutoresetMode.DISABLED
    )
    cold.reset(seed=0)
    actions = np.stack([actions_of_space(world, row, 1)[0] for row in range(2)])
    zero = torch.zeros(2, world.model.noise_dim)
    expected, _ = world.model.step(cold.state, torch.tensor(actions), noise=zero)
    np.testing.assert_allclose(cold.step(actions)[0], world.model.features(expected), atol=1e-6)


def test_box_actions_are_clipped():
    dreams = [DreamVectorEnv(2, tiny_world("box"), obs="latent") for _ in range(2)]
    for dream in dreams:
        dream.reset(seed=0)
    one = dreams[0].step(np.float64([[50, -50], [0, 0]]))
    two = dreams[1].step(np.float32([[2, -1], [0, 0]]))
    np.testing.assert_allclose(one[0], two[0])


@pytest.mark.parametrize("obs", ["pixels", "latent"])
def test_observations_rewards_and_ends_are_of_gymnasiums_types(world: World, obs: str):
    dream = DreamVectorEnv(3, world, obs=obs, horizon=4)
    observation, _ = dream.reset(seed=0)
    seen = [observation]
    for actions in zip(*(actions_of(dream, row, 9) for row in range(3)), strict=True):
        observation, reward, terminated, truncated, infos = dream.step(np.stack(actions))
        assert observation in dream.observation_space
        assert (reward.dtype, reward.shape) == (np.float32, (3,))
        assert terminated.dtype == truncated.dtype == bool
        seen += [observation, reward, terminated, truncated]
        seen += [x for x in infos.get("final_obs", []) if x is not None]
    for i, one in enumerate(seen):
        assert not any(np.shares_memory(one, other) for other in seen[:i])


@pytest.mark.parametrize("obs", ["latent", "pixels"])
def test_tensors_never_visit_the_host(world: World, obs: str, monkeypatch: pytest.MonkeyPatch):
    dream = DreamVectorEnv(3, world, obs=obs, output="torch", horizon=3, end="sample", stagger=True)
    dream.reset(seed=0)
    dream._blind = True  # as on a GPU
    actions = torch.tensor(np.stack([actions_of(dream, row, 1)[0] for row in range(3)]))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the host must not wait")

    for name in (
        "item",
        "cpu",
        "numpy",
        "tolist",
        "__bool__",
        "__float__",
        "__int__",
        "nonzero",
        "__array__",
    ):
        monkeypatch.setattr(Tensor, name, forbidden)
    history = [dream.step(actions) for _ in range(5)]
    monkeypatch.undo()
    for observation, reward, terminated, truncated, infos in history:
        assert {type(x) for x in (observation, reward, terminated, truncated)} == {Tensor}
        assert infos["final_obs"].shape == observation.shape
        assert torch.equal(infos["_final_obs"], terminated | truncated)
    assert history[0][0].data_ptr() != history[1][0].data_ptr()
    before = [observation.clone() for observation, *_ in history]
    dream.step(actions)
    assert all(torch.equal(x, y[0]) for x, y in zip(before, history, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_render_shows_what_is_dreamt(channels: int):
    world = tiny_world("box", tiny_model("box", channels=channels))
    dream = DreamVectorEnv(2, world, render_mode="rgb_array")
    observation, _ = dream.reset(seed=0)
    frames = dream.render()
    assert isinstance(frames, tuple)
    for frame, seen in zip(frames, observation, strict=True):
        assert (frame.shape, frame.dtype) == ((32, 32, 3), np.uint8)
        np.testing.assert_array_equal(frame, np.broadcast_to(seen, (32, 32, 3)))
    assert DreamVectorEnv(2, world).render() is None


@pytest.mark.parametrize("start", ["data", "prior"])
@pytest.mark.parametrize("obs", ["latent", "pixels"])
def test_on_a_gpu_dreams_begin_anew_unseen_just_as_where_the_host_looks(obs: str, start: str):
    world = tiny_world("box")
    looking, blind = (
        DreamVectorEnv(4, world, obs=obs, start=start, output="torch", horizon=3, stagger=True)
        for _ in range(2)
    )
    blind._blind = True
    dreams = looking, blind
    assert torch.equal(*(dream.reset(seed=1)[0] for dream in dreams))
    for actions in np.zeros((8, 4, 2), np.float32):
        one, two = (dream.step(torch.tensor(actions)) for dream in dreams)
        for x, y in zip(one[:4], two[:4], strict=True):
            assert torch.equal(x, y)
        ended = one[4]["_final_obs"]
        assert torch.equal(ended, two[4]["_final_obs"])
        assert torch.equal(one[4]["final_obs"][ended], two[4]["final_obs"][ended])
