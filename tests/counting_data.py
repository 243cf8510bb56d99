"""Episodes of a world that counts: frames as bright as the count, an action is added to it."""

import numpy as np
from oracle import BOX

from srvp_world.data.dataset import Dataset, create_dataset
from srvp_world.data.episodes import DatasetInfo, Ending, Episode, write_episode

COUNTING = DatasetInfo(frame_size=32, channels=1, action=BOX, rewards=True)


def record(folder, *actions, ending=Ending.TRUNCATED, start=50):
    """Record an episode for each list of whole actions; reward: 100 * count on arrival + action."""
    create_dataset(folder, COUNTING)
    for number, taken in enumerate(actions):
        counts = start + 10 * number + np.cumsum([0, *taken])
        episode = Episode(
            frames=np.broadcast_to(counts[:, None, None, None], (len(counts), 32, 32, 1)).astype(
                np.uint8
            ),
            actions=np.array(taken, np.float32)[:, None],
            rewards=(100 * counts[1:] + np.array(taken)).astype(np.float32),
            ending=ending,
        )
        episode.validate(COUNTING)
        write_episode(folder, episode, stem=f"{ending}{number:03d}")
    return Dataset.open(folder)
