"""Whatever the model, the same seed gives the same clips in the same order: budgets are equal."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from worlds import CONFIG, SVG_CONFIG, random_frames, tiny_model

from srvp_world.config import TrainConfig
from srvp_world.data.dataset import Dataset, create_dataset
from srvp_world.data.episodes import DatasetInfo, Episode, write_episode
from srvp_world.data.mnist import shipped_digits
from srvp_world.envs import learn

TRAIN = TrainConfig(
    iterations=4, batch_size=3, window=5, conditioning=2, frames_only=True, validation_batches=1
)
VIDEO = replace(CONFIG, reward=False, continuation=False)
MODELS = {
    "srvp": VIDEO,
    "mlp": replace(VIDEO, dynamics="mlp"),
    "gru": replace(VIDEO, dynamics="gru"),
    "no-z": replace(VIDEO, innovation_dim=0),
    "svg": SVG_CONFIG,
}


class SeenError(Exception):
    """Ends a training where it would begin."""


@pytest.fixture
def clips_of(monkeypatch) -> Callable[..., torch.Tensor]:
    """Give all clips that a training sees, and those that it validates on."""

    def fit(model, batches, config, run, *, validation, **_):
        seen = [batches(i) for i in range(config.iterations)]
        raise SeenError(torch.cat([batch.frames for batch in [*seen, *validation]]))

    def clips(start: Callable[[], object]) -> torch.Tensor:
        with pytest.raises(SeenError) as caught:
            start()
        return caught.value.args[0]

    monkeypatch.setattr(learn, "fit", fit)
    return clips


def test_of_moving_digits(clips_of, tmp_path):
    def clips(model, seed=0):
        train = replace(TRAIN, seed=seed)
        digits = shipped_digits()
        return clips_of(
            lambda: learn.learn_moving_mnist(digits, model, train, tmp_path, stochastic=True)
        )

    paper = clips(VIDEO)
    assert paper.shape == (5 * 3, 5, 1, 64, 64)
    for model in MODELS.values():
        assert torch.equal(clips(model), paper)
    assert not torch.equal(clips(VIDEO, seed=1), paper)


def test_of_videos(clips_of, tmp_path):
    folder = tmp_path / "videos"
    create_dataset(folder, DatasetInfo(frame_size=32, channels=1))
    pixels = (255 * random_frames(24, 9, tiny_model("none"))).byte().movedim(2, -1).numpy()
    for i, frames in enumerate(pixels):
        write_episode(folder, Episode(frames=frames), stem=f"video{i:02}")
    data = Dataset.open(folder)

    def clips(model):
        return clips_of(lambda: learn.learn_world(data, model, TRAIN, tmp_path / "run"))

    paper = clips(VIDEO)
    assert len(paper) == 5 * 3
    for model in MODELS.values():
        assert torch.equal(clips(model), paper)
