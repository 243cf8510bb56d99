"""Worlds of other kinds on disk and as dreams: they are asked nothing that SRVP is not asked."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from worlds import generator, random_frames, tiny_model, tiny_svg, tiny_world

import srvp_world
from srvp_world.checkpoint import World
from srvp_world.config import to_json
from srvp_world.envs.starts import start_pool
from srvp_world.errors import ConfigError, WorldFileError
from srvp_world.world import Observation

VIDEO = {"reward": False, "continuation": False}
KINDS = {
    "svg": tiny_svg,
    "gru": lambda: tiny_model("none", dynamics="gru", **VIDEO),
    "mlp": lambda: tiny_model("none", dynamics="mlp", **VIDEO),
    "no-z": lambda: tiny_model("none", innovation_dim=0, **VIDEO),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def world_of(kind: str) -> World:
    return tiny_world("none", KINDS[kind](), lengths=(4, 3, 4))


@every_kind
@torch.no_grad()
def test_a_world_comes_back_bit_for_bit(kind, tmp_path):
    world = world_of(kind)
    back = srvp_world.load(world.save(tmp_path / "world.safetensors"))
    assert type(back.model) is type(world.model) and back.model.config == world.model.config
    assert back.fingerprint == world.fingerprint
    frames = random_frames(2, 3, world.model)
    shown = []
    for model in (world.model, back.model):
        state = model.encode(Observation(frames), generator=generator())
        state, _ = model.step(state, generator=generator())
        shown.append((model.decode(state), model.features(state)))
    torch.testing.assert_close(*shown, rtol=0, atol=0)


def test_a_world_file_says_of_which_kind_it_is(tmp_path):
    path = world_of("svg").save(tmp_path / "world.safetensors")
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["srvp_world"])
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    assert header["kind"] == "svg" and header["model"] == to_json(tiny_svg().config)
    for changes, reason in (
        ({"kind": "savp"}, "is no world"),
        ({"kind": "srvp"}, "ModelConfig has no field"),
        ({"model": {"z": 1}}, "SVGConfig has no field 'z'"),
    ):
        save_file(tensors, path, {"srvp_world": json.dumps({**header, **changes})})
        with pytest.raises(WorldFileError, match=reason):
            srvp_world.load(path)


def test_a_world_file_from_before_there_were_ablations_is_srvp(tmp_path):
    path = tiny_world("box").save(tmp_path / "world.safetensors")
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["srvp_world"])
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    assert header["kind"] == "srvp" and header["model"].pop("dynamics") == "residual"
    save_file(tensors, path, {"srvp_world": json.dumps(header)})
    assert srvp_world.load(path).model.config.dynamics == "residual"


@every_kind
@pytest.mark.parametrize("obs", ["pixels", "latent"])
def test_a_world_is_dreamt_alone_and_in_rows_alike(kind, obs):
    """A row follows from its seed, whoever its neighbours are, over resets too."""
    world = world_of(kind)
    rows = gym.make_vec("SRVPDream-v0", num_envs=3, world=world, obs=obs, horizon=3)
    one = gym.make("SRVPDream-v0", world=world, obs=obs, horizon=3)
    seen, _ = rows.reset(seed=5)
    alone, _ = one.reset(seed=6)
    tolerance = {"atol": 1} if obs == "pixels" else {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(seen[1].astype(float), alone.astype(float), **tolerance)
    before = seen
    for t in range(1, 4):
        seen, _, terminated, truncated, info = rows.step(np.zeros(3, np.int64))
        alone, _, _, over, _ = one.step(0)
        assert not terminated.any() and truncated.tolist() == [t == 3] * 3 and over == (t == 3)
        last = info["final_obs"][1] if over else seen[1]
        np.testing.assert_allclose(last.astype(float), alone.astype(float), **tolerance)
        assert not np.array_equal(last, before[1])  # it moves
        before = seen
    rows.close()
    one.close()


def test_dreams_draw_their_innovations_where_there_are_some():
    for kind in KINDS:
        world = world_of(kind)
        shown = []
        for seed in (1, 2):
            clip = (255 * random_frames(1, 3, world.model)[0]).byte().movedim(1, -1).numpy()
            env = gym.make("SRVPDream-v0", world=world, obs="latent")
            env.reset(seed=seed, options={"frames": clip})
            shown.append(env.step(0)[0])
        assert np.array_equal(*shown) == (kind == "no-z")


def test_agents_may_steer_innovations_but_not_ones_that_are_not_there():
    env = gym.make("SRVPDream-v0", world=world_of("svg"), actions="noise", obs="latent")
    assert env.action_space.shape == (3,)
    shown = []
    for action in (np.zeros(3, np.float32), np.ones(3, np.float32)):
        env.reset(seed=0)
        shown.append(env.step(action)[0])
    assert not np.allclose(*shown, atol=1e-4)
    with pytest.raises(ConfigError, match="no innovation to steer: use 'none'"):
        gym.make("SRVPDream-v0", world=world_of("no-z"), actions="noise")


def test_starts_from_a_prior_need_one():
    with pytest.raises(ConfigError, match="start='prior': this world has no prior"):
        gym.make("SRVPDream-v0", world=world_of("svg"), start="prior")
    env = gym.make("SRVPDream-v0", world=world_of("no-z"), start="prior", obs="latent")
    first, second = env.reset(seed=0)[0], env.reset(seed=1)[0]
    assert not np.allclose(first, second)


def test_a_pool_of_another_kind_is_refused():
    pool = start_pool(world_of("gru"))
    env = gym.make("SRVPDream-v0", world=world_of("svg"), pool=pool)
    with pytest.raises(ConfigError, match="pool is of another world"):
        env.reset(seed=0)


def test_a_dream_whose_rows_are_normalised_by_one_another_has_two_at_least():
    world = tiny_world("none", tiny_svg(batch_statistics=True), lengths=(4, 4))
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ConfigError, match="num_envs=1: the rows .*make_vec with num_envs=2"):
            make("SRVPDream-v0", world=world)
    rows = gym.make_vec("SRVPDream-v0", num_envs=2, world=world)
    rows.reset(seed=0)
    assert rows.step(np.zeros(2, np.int64))[0].shape == (2, 32, 32, 1)
