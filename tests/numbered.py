"""Episodes that show their number, written by threads and spawned processes."""

import numpy as np

from srvp_world.data.dataset import EpisodeWriter
from srvp_world.data.episodes import DatasetInfo, Ending
from srvp_world.data.ring import Ring
from srvp_world.spaces import ActionSpec

BOX = ActionSpec(kind="box", shape=(1,), low=(-1.0,), high=(1.0,))
INFO = DatasetInfo(frame_size=2, channels=1, action=BOX, rewards=True)


def record(writer, number, steps=5):
    """Every frame and reward of an episode is its number."""
    image = np.full((2, 2, 1), number % 256, np.uint8)
    writer.start(image)
    for _ in range(steps):
        writer.add([0.5], number, image)
    writer.finish(Ending.TRUNCATED)


def writer(folder, bound=None, stem="walk", **settings):
    return EpisodeWriter(folder, INFO, stem=stem, ring=Ring(bound), **settings)


def write_on(folder, stem, stop):
    """Record within a bound of 20 episodes until told to stop."""
    bounded = writer(folder, 100, stem=stem)
    number = 1
    while not stop.is_set():
        record(bounded, number)
        number += 1
