import io
import json

import numpy as np
import pytest
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srvp_world.config import TrainConfig
from srvp_world.errors import OutputError
from srvp_world.pictures import side_by_side
from srvp_world.train.fit import fit
from srvp_world.train.log import Logger

CONTEXT = 2


def decode(gif: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(gif)) as image:
        assert image.format == "GIF"
        return np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)])


def read(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def test_a_fit_can_be_watched_in_tensorboard(make_tiny, batches, tmp_path) -> None:
    config = TrainConfig(iterations=4, log_every=2, validate_every=2)
    model, batch = make_tiny(), batches(0)
    result = fit(
        model, batches, config, tmp_path, validation=[batch], context=CONTEXT, progress=False
    )
    events = read(tmp_path / "tensorboard")
    assert set(events.Tags()["scalars"]) == {
        "train/total",
        "train/error",
        "train/size",
        "train/gradient_norm",
        "train/learning_rate",
        "speed/frames_per_second",
        "validation/total",
        "validation/error",
        "validation/size",
        "validation/psnr",
    }
    totals = events.Scalars("train/total")
    assert [event.step for event in totals] == [2, 4]
    assert totals[-1].value == pytest.approx(result.terms["total"])

    images = events.Images("validation/truth_and_prediction")
    assert [image.step for image in images] == [2, 4]
    frames = decode(images[-1].encoded_image_string).astype(int)
    assert frames.shape == (5, images[-1].height, images[-1].width, 3)
    truth, prediction = np.split(frames, 2, axis=2)
    expected = side_by_side(batch.frames[:4], batch.frames[:4], CONTEXT).astype(int)
    expected = np.split(expected, 2, axis=2)[0]
    assert frames.shape[1] == 4 * 8  # four rows of six
    assert abs(truth - expected).max() <= 16  # a GIF has 256 colours
    assert abs(prediction - expected)[:CONTEXT].max() <= 16
    assert abs(prediction - expected)[CONTEXT:].max() > 64


def test_psnr_is_that_of_valid_imagined_frames(make_tiny, batches, tmp_path) -> None:
    """A preview that is 0.1 off has 20 dB, whatever it shows of watched and padded frames."""

    def preview(batch, context, generator):
        frames = batch.frames + 0.1
        frames[:, :context] = frames[:, -1:] = 1
        return frames

    model, batch = make_tiny(), batches(0)
    model.preview = preview
    batch.frames.mul_(0.5)
    batch.valid[:, -1] = False
    config = TrainConfig(iterations=1)
    fit(model, batches, config, tmp_path, validation=[batch], context=CONTEXT, progress=False)
    (event,) = read(tmp_path / "tensorboard").Scalars("validation/psnr")
    assert event.value == pytest.approx(20, abs=1e-3)


def test_steps_that_a_kill_took_back_disappear(tmp_path) -> None:
    with Logger(tmp_path) as logger:
        for step in (1, 2, 3):
            logger.scalars({"a": step}, step)
    with Logger(tmp_path, start=2) as logger:
        logger.scalars({"a": 30.0}, 3)
    events = read(tmp_path / "tensorboard").Scalars("a")
    assert [(event.step, event.value) for event in events] == [(1, 1), (2, 2), (3, 30)]
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    assert lines == [{"step": 1, "a": 1}, {"step": 2, "a": 2}, {"step": 3, "a": 30.0}]


def test_lines_are_json_even_for_nan(tmp_path) -> None:
    with Logger(tmp_path) as logger:
        logger.scalars({"a": float("nan"), "b": float("inf"), "c": 1.5}, 1)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    line = json.loads((tmp_path / "scalars.jsonl").read_text(), parse_constant=refuse)
    assert line == {"step": 1, "a": None, "b": None, "c": 1.5}


def test_a_folder_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to .*file"):
        Logger(tmp_path / "file")
