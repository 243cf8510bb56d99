"""npz files of episodes, with frames that tell where they belong.

Frame t shows t; the action between the frames t and t+1 is (t+1) / 20, the reward of arriving at t
is t.
"""

import numpy as np

from srvp_world.data.dataset import Dataset
from srvp_world.data.experience import from_npz


def frames(count, first=0):
    shape = (count, 32, 32, 3)
    return np.broadcast_to(np.arange(first, first + count)[:, None, None, None], shape).astype("u1")


def between(start, stop):
    """(T, 1) actions and (T,) rewards between the frames [start, stop)."""
    t = np.arange(start + 1, stop, dtype=np.float32)
    return t[:, None] / 20, t


def gymnasium(**more):
    actions, rewards = between(0, 6)
    return {"observations": frames(6), "actions": actions, "rewards": rewards, **more}


def several(tmp_path, **files):
    """Write a file of each set of arrays, or of bytes; give them all."""
    for name, content in files.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    return [tmp_path / f"{name}.npz" for name in files]


def bring(source, tmp_path, **settings):
    result = from_npz(source, tmp_path / "data", progress=False, **settings)
    return result, Dataset.open(tmp_path / "data")


def shown(data):
    """(first frame, last frame, ending, part) of each, whose actions and rewards must be right."""
    found = []
    for i in range(len(data)):
        episode = data.read(i)
        values = episode.frames[:, 0, 0, 0].astype(int)
        actions, rewards = between(values[0], values[-1] + 1)
        np.testing.assert_allclose(episode.actions, actions)
        np.testing.assert_array_equal(episode.rewards, rewards)
        found.append((values[0], values[-1], str(episode.ending), episode.part))
    return sorted(found)
