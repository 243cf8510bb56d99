"""Dreams that begin from frames of the user's own, and start states that are replaced."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from oracle import counting_world
from worlds import random_actions, random_frames, tiny_model, tiny_world

from srvp_world.envs.dream import DreamVectorEnv
from srvp_world.envs.starts import watch_clips
from srvp_world.errors import DataError, SpaceError, SRVPWorldError
from srvp_world.world import Observation

ACTIONS = np.zeros((3, 1), np.float32)


def counted(*counts: int) -> np.ndarray:
    """Frames (t, h, w, c) that show these counts."""
    return np.broadcast_to(np.uint8(counts)[:, None, None, None], (len(counts), 32, 32, 1)).copy()


def counting(world=None, **settings) -> DreamVectorEnv:
    world = world or counting_world(10)
    world = replace(world, starts=replace(world.starts, vector=None))
    world.model.vector_dim = 0
    dream = DreamVectorEnv(3, world, **{"obs": "latent", "horizon": 3, **settings})
    dream.reset(seed=0)
    return dream


def between(frames: int, *lead: int) -> np.ndarray:
    return np.zeros((*lead, frames - 1, 1), np.float32)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_all_rows_go_on_after_one_clip_until_they_begin_anew(mode: str, output: str):
    dream = counting(autoreset_mode=mode, output=output)
    options = {"frames": counted(38, 39, 40), "actions": between(3)}
    observation, info = dream.reset(options=options)
    assert observation[:, 0].tolist() == [40] * 3
    assert list(info["start"]) == ["frames"] * 3
    given = torch.tensor(ACTIONS) if output == "torch" else ACTIONS
    for count in (41, 42):
        observation, rewards, *_ = dream.step(given)
        assert observation[:, 0].tolist() == [count] * 3
        assert rewards.tolist() == [100 * count] * 3
    out = dream.step(given)
    assert out[3].all()
    if mode == "SameStep":
        assert out[0][:, 0].tolist() == [10] * 3
        assert [int(x[0]) for x in out[4]["final_obs"]] == [43] * 3
    if mode == "NextStep":
        assert dream.step(given)[0][:, 0].tolist() == [10] * 3


def test_each_row_has_its_clip_and_the_mask_chooses_rows():
    dream = counting()
    frames = np.stack([counted(20), counted(30), counted(40)])
    mask = np.array([True, False, True])
    options = {"frames": frames, "actions": between(1, 3), "reset_mask": mask}
    dream.step(ACTIONS)
    observation, info = dream.reset(options=options)
    assert observation[:, 0].tolist() == [20, 11, 40]
    assert info["_start"].tolist() == [True, False, True]
    assert set(options) == {"frames", "actions", "reset_mask"}
    assert mask.tolist() == [True, False, True]


def test_a_single_frame_needs_no_actions_and_the_single_env_no_rows():
    env = gym.make("SRVPDream-v0", obs="latent")
    world = env.unwrapped.world
    clip = world.starts.frames[0, :5].numpy()
    actions = world.starts.actions[0, :4].numpy()
    first, info = env.reset(options={"frames": clip[:1]})
    assert info == {"start": "frames"}
    pool = watch_clips(world.model, world.starts)
    expected = world.model.features(pool.states.index(pool.first[:1]))[0].numpy()
    np.testing.assert_allclose(first, expected, atol=1e-4)
    later, _ = env.reset(options={"frames": clip, "actions": actions})
    seen = Observation(torch.tensor(clip)[None].movedim(-1, 2).float() / 255)
    begins = torch.ones(1, dtype=torch.bool)
    state = world.model.encode(
        seen, torch.tensor(actions)[None], episode_start=begins, sample=False
    )
    np.testing.assert_allclose(later, world.model.features(state)[0].numpy(), atol=1e-5)
    assert np.abs(later - first).max() > 0.1


def test_a_video_world_continues_a_video():
    world = tiny_world("none")
    dream = DreamVectorEnv(2, world, obs="latent")
    frames = random_frames(1, 4, world.model, seed=9)
    clip = (frames[0].movedim(1, -1) * 255).round().byte()
    observation, _ = dream.reset(seed=0, options={"frames": clip})
    state = world.model.encode(Observation(clip[None].movedim(-1, 2).float() / 255), sample=False)
    expected = world.model.features(state).numpy()
    np.testing.assert_allclose(observation, np.repeat(expected, 2, 0), atol=1e-5)
    with pytest.raises(DataError, match="got 1 frames but 2 are needed"):
        dream.reset(options={"frames": clip[:1]})


def test_content_does_not_pile_up():
    model = tiny_model("box", skips=True)
    world = tiny_world("box", model)
    dream = DreamVectorEnv(2, world, obs="latent", horizon=2)
    dream.reset(seed=0)
    frames = (random_frames(1, 3, model)[0].movedim(1, -1) * 255).round().byte().numpy()
    options = {"frames": frames, "actions": random_actions(model.action, 1, 2)[0].numpy()}
    sizes = set()
    for _ in range(4):
        dream.reset(options=options)
        for _ in range(5):
            dream.step(np.zeros((2, 2), np.float32))
            sizes.add(dream.state.bank.w.shape[0])
    assert max(sizes) <= len(world.starts.frames) + 2


def test_a_vector_belongs_to_the_frames():
    model = tiny_model("box", vector_dim=2)
    world = tiny_world("box", model)
    vector = torch.randn(*world.starts.frames.shape[:2], 2, generator=torch.manual_seed(0))
    world = replace(world, starts=replace(world.starts, vector=vector))
    dream = DreamVectorEnv(2, world, obs="dict")
    clip = {"frames": world.starts.frames[0, :1], "vector": vector[0, :1]}
    observation, _ = dream.reset(seed=0, options=clip)
    pool = watch_clips(model, world.starts)
    first = pool.states.index(pool.first[[0, 0]])
    np.testing.assert_allclose(observation["vector"], model.decode_vector(first), atol=1e-5)
    other, _ = dream.reset(seed=0, options={**clip, "vector": vector[0, :1] + 3})
    assert np.abs(other["vector"] - observation["vector"]).max() > 1e-3
    with pytest.raises(DataError, match=r"wants a vector \(1, 2\) beside start frames"):
        dream.reset(options={"frames": clip["frames"]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": counted(1).astype(np.float32)}, r"float32 \(1, 32, 32, 1\), the dream wants"),
        ({"frames": counted(1)[:, :16]}, r"\(1, 16, 32, 1\), the dream wants uint8 \(t, 32, 32, 1"),
        ({"frames": np.zeros((0, 32, 32, 1), np.uint8)}, r"start frames are uint8 \(0, 32"),
        ({"frames": np.stack([counted(1)] * 2)}, r"or \(3, t, 32, 32, 1\)"),
        ({"frames": counted(1, 2)}, "2 start frames need 1 actions between, got none"),
        ({"frames": counted(1, 2), "actions": between(3)}, "need 1 actions between, got shape"),
        ({"frames": counted(1, 2), "actions": between(2) + np.nan}, "actions between start frames"),
        ({"frames": counted(1, 2), "actions": between(2) + 99}, "actions between start frames"),
        ({"frames": counted(1), "vector": np.zeros((1, 2))}, "wants no vector beside"),
        ({"actions": between(2)}, "reset option 'actions' needs the frames that it belongs to"),
        ({"frame": counted(1)}, "reset option 'frame' is unknown: did you mean 'frames'"),
    ],
)
def test_what_cannot_be_watched_is_refused_and_changes_nothing(options: dict, message: str):
    dream = counting()
    dream.step(ACTIONS)
    with pytest.raises(SRVPWorldError, match=message):
        dream.reset(options=options)
    assert dream.step(ACTIONS)[0][:, 0].tolist() == [12] * 3


def test_a_world_without_actions_takes_none_between_frames():
    dream = DreamVectorEnv(1, tiny_world("none"))
    frames = np.zeros((3, 32, 32, 1), np.uint8)
    with pytest.raises(SpaceError, match="this world takes no actions: leave them out"):
        dream.reset(options={"frames": frames, "actions": between(3)})


@pytest.mark.parametrize("obs", ["latent", "pixels"])
def test_new_starts_leave_dreams_under_way_alone(obs: str):
    dream = counting(obs=obs)
    dream.step(ACTIONS)
    other = counting_world(50, 60)
    dream.refresh_starts(watch_clips(other.model, other.starts))
    seen = [dream.step(ACTIONS)[0].reshape(3, -1)[:, 0] for _ in range(3)]
    assert seen[0].tolist() == [12] * 3
    assert set(seen[1].tolist()) <= {50, 60}
    assert np.array_equal(seen[2], seen[1] + 1)
    dream.refresh_starts()
    assert dream.reset()[0].reshape(3, -1)[:, 0].tolist() == [10] * 3
