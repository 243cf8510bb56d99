import numpy as np
import pytest
import torch
from worlds import generator, random_actions, random_frames, tiny_model, tiny_svg

from srvp_world.errors import ConfigError, DataError, SpaceError
from srvp_world.pictures import BORDER, IMAGINED, PAPER, UNSEEN, WATCHED
from srvp_world.prediction import hold, panels, predict_clip
from srvp_world.world import Observation


def to_pixels(frames: torch.Tensor) -> np.ndarray:
    return (frames.clamp(0, 1) * 255).round().byte().movedim(-3, -1).numpy()


def random_clip(model, t: int) -> np.ndarray:
    return to_pixels(random_frames(1, t, model))[0]


def to_frames(clip: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(clip).movedim(-1, -3)[None] / 255


@pytest.mark.parametrize("substeps", [None, 1, 2, 4])
@pytest.mark.parametrize("trained", [1, 2])
def test_time_runs_evenly_at_every_frame_rate(trained, substeps) -> None:
    model = tiny_model("none", substeps=trained, reward=False, continuation=False)
    clip, n = random_clip(model, 3), substeps or 1
    futures = predict_clip(model, clip, 5, samples=2, substeps=substeps, generator=generator())
    assert futures.dtype == np.uint8 and futures.shape == (2, 1 + (2 + 5) * n, 32, 32, 1)
    times = np.minimum(np.arange(1 + 2 * n) // n, 2)  # frame i is there from tick i * n on
    assert np.array_equal(futures[:, : 1 + 2 * n], np.stack([clip[times]] * 2))


@pytest.mark.parametrize("substeps", [None, 1, 2, 4])
def test_the_mean_is_that_of_the_models_own_prediction(substeps) -> None:
    model = tiny_model("none", substeps=2, skips=True)
    clip = random_clip(model, 4)
    futures = predict_clip(model, clip, 3, samples=2, substeps=substeps, sample=False)
    settings = {"substeps": substeps, "sample": False, "intermediate": substeps is not None}
    expected = to_pixels(model.predict(to_frames(clip), 3, **settings))
    imagined = 3 * (substeps or 1)
    assert np.array_equal(futures[0], futures[1])
    assert np.array_equal(futures[:1, -imagined:], expected[:, -imagined:])
    assert len(np.unique(futures[0, -imagined:], axis=0)) == imagined  # it moves


def test_futures_differ_reproduce_and_do_not_depend_on_how_many_there_are() -> None:
    model = tiny_model("none")
    clip = random_clip(model, 3)

    def futures(samples: int, seed: int = 7, **settings) -> np.ndarray:
        draws = generator(seed)
        return predict_clip(model, clip, 4, samples=samples, generator=draws, **settings)

    three = futures(3)
    assert len(np.unique(three, axis=0)) == 3
    assert np.array_equal(three, futures(3)) and np.array_equal(three[:2], futures(2))
    assert not np.array_equal(three, futures(3, seed=8))
    assert not np.array_equal(three, futures(3, temperature=3.0))


def test_actions_of_the_clip_are_taken_from_the_watched_and_the_imagined_part() -> None:
    model = tiny_model("box")
    clip, actions = random_clip(model, 3), random_actions(model.action, 1, 6)
    futures = predict_clip(model, clip, 4, actions=actions[0].numpy(), sample=False)
    with torch.no_grad():
        state = model.encode(Observation(to_frames(clip)), actions[:, :2], sample=False)
        for i in range(4):
            state, _ = model.step(state, actions[:, 2 + i], noise=torch.zeros(1, model.noise_dim))
            assert np.array_equal(futures[:, 3 + i], to_pixels(model.decode(state)))


def test_an_episode_may_begin_with_one_frame_and_a_vector() -> None:
    model = tiny_model("box", vector_dim=3)
    actions = random_actions(model.action, 1, 2)[0].numpy()
    given = {"actions": actions, "vector": np.ones((1, 3), np.float32), "sample": False}
    clip = random_clip(model, 1)
    assert predict_clip(model, clip, 2, episode_start=True, **given).shape == (1, 3, 32, 32, 1)
    with pytest.raises(DataError, match="got 1 frames but 2 are needed"):
        predict_clip(model, clip, 2, **given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"substeps": 0}, "substeps must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be finite and not negative, got -1.0"),
        ({"temperature": float("nan")}, "temperature must be finite and not negative, got nan"),
    ],
)
def test_impossible_settings_are_refused(settings, message) -> None:
    model = tiny_model("none")
    with pytest.raises(ConfigError, match=message):
        predict_clip(model, random_clip(model, 3), **{"horizon": 1, **settings})


def test_clips_that_do_not_suit_the_model_are_refused() -> None:
    model, controlled = tiny_model("none"), tiny_model("box")
    clip = random_clip(model, 3)
    with pytest.raises(DataError, match="frames must be floats"):
        predict_clip(model, clip[:, :16, :16], 1)
    with pytest.raises(DataError, match="got 1 frames but 2 are needed"):
        predict_clip(model, clip[:1], 1)
    with pytest.raises(SpaceError, match="needs actions"):
        predict_clip(controlled, clip, 1)
    with pytest.raises(SpaceError, match="takes no actions"):
        predict_clip(model, clip, 1, actions=np.zeros((3, 2), np.float32))


def test_a_world_that_cannot_watch_one_clip_alone_is_refused() -> None:
    model = tiny_svg(batch_statistics=True)
    with pytest.raises(ConfigError, match="cannot watch one alone: predict several by `srvp-world"):
        predict_clip(model, random_clip(model, 3), 1)
    assert predict_clip(tiny_svg(), random_clip(model, 3), 1).shape == (1, 4, 32, 32, 1)


def test_holding_frames_keeps_the_last_moment_short() -> None:
    assert hold(np.arange(3), 4).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert hold(np.arange(3), 1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("rest", [2, 3, 5])
def test_the_rest_of_the_clip_stands_beside_the_futures(rest) -> None:
    """Two frames watched, three imagined, two ticks each; the clip may end before or after."""
    clip = np.random.default_rng(0).integers(0, 256, (2 + rest, 4, 6, 1), np.uint8)
    futures = np.random.default_rng(1).integers(0, 256, (2, 9, 4, 6, 1), np.uint8)
    drawn = panels(futures, clip, watched=2, times=2)
    assert drawn.shape == (3, 9, 4 + 2 * BORDER, 6 + 2 * BORDER, 3)
    inside, corner = drawn[:, :, BORDER:-BORDER, BORDER:-BORDER], drawn[:, :, 0, 0]
    assert np.array_equal(inside[1:], futures.repeat(3, axis=-1))
    assert (corner[:, :3] == WATCHED).all() and (corner[1:, 3:] == IMAGINED).all()
    shown = min(9, 2 * (2 + rest))
    assert np.array_equal(inside[0, :shown, ..., 0], clip[np.arange(shown) // 2, ..., 0])
    assert (corner[0, 3:shown] == UNSEEN).all() and (drawn[0, shown:] == PAPER).all()


def test_a_clip_that_was_watched_whole_has_no_panel_of_its_own() -> None:
    clip = np.zeros((2, 4, 6, 3), np.uint8)
    drawn = panels(np.zeros((4, 5, 4, 6, 3), np.uint8), clip, watched=2)
    assert drawn.shape == (4, 5, 4 + 2 * BORDER, 6 + 2 * BORDER, 3)
