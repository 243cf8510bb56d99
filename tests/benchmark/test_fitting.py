from dataclasses import replace

import numpy as np
import pytest
from worlds import ACTIONS, CONFIG

from srvp_world.benchmark.fitting import open_fitting
from srvp_world.benchmark.protocols import folder_protocol
from srvp_world.data.dataset import create_dataset
from srvp_world.data.episodes import DatasetInfo, Episode, write_episode
from srvp_world.errors import ConfigError, DataError

VIDEO = replace(CONFIG, reward=False, continuation=False)
ACTING, SEEING = replace(VIDEO, action=ACTIONS["box"]), replace(VIDEO, vector_dim=3)


def experience(folder, vector_dim=0):
    """Write one episode with actions, and give the protocol for its first eight frames."""
    info = DatasetInfo(frame_size=32, channels=1, action=ACTIONS["box"], vector_dim=vector_dim)
    create_dataset(folder, info)
    episode = Episode(
        frames=np.full((9, 32, 32, 1), 3, np.uint8),
        actions=np.zeros((8, 2), np.float32),
        vector=np.zeros((9, vector_dim), np.float32) if vector_dim else None,
    )
    write_episode(folder, episode, stem="one")
    return replace(folder_protocol(folder), conditioning=3, horizon=5)


@pytest.mark.parametrize("vector_dim", [0, 3])
def test_worlds_of_frames_watch_experience_as_videos(tmp_path, vector_dim):
    protocol = experience(tmp_path, vector_dim)
    clips = open_fitting(protocol, tmp_path, [VIDEO, VIDEO])
    batch = clips.read(0, 1)
    assert batch.frames.shape == (1, 8, 32, 32, 1) and (batch.frames == 3).all()
    assert batch.actions is None and (clips.action, clips.vector_dim) == (None, 0)


def test_worlds_with_actions_get_them(tmp_path):
    clips = open_fitting(experience(tmp_path), tmp_path, [ACTING])
    assert clips.action == ACTIONS["box"] and clips.read(0, 1).actions.shape == (1, 7, 2)


@pytest.mark.parametrize(
    ("vector_dim", "configs", "words"),
    [
        (3, [ACTING], "only frames can be evaluated"),
        (3, [replace(ACTING, vector_dim=3)], "only frames can be evaluated"),
        (0, [SEEING], "only frames can be evaluated"),
        (0, [VIDEO, ACTING], r"Box\(.*takes None"),
        (0, [replace(VIDEO, action=ACTIONS["discrete"])], r"Box\(.*takes Discrete"),
        (0, [replace(VIDEO, frame_size=64)], "32x32x1.*64x64x1"),
        (0, [replace(VIDEO, content_frames=4)], "needs 4 conditioning frames"),
    ],
)
def test_worlds_of_the_wrong_kind_are_refused(tmp_path, vector_dim, configs, words):
    with pytest.raises((ConfigError, DataError), match=words):
        open_fitting(experience(tmp_path, vector_dim), tmp_path, configs)
