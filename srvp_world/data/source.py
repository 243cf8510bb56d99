"""What a foreign source of experience gives: episodes whose time is already ours.

Row i of the actions lies between the observations i and i+1, and row i of the rewards belongs to
observation i+1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from srvp_world.data.episodes import Ending
from srvp_world.spaces import ActionSpec


@dataclass(frozen=True, kw_only=True)
class ForeignEpisode:
    """An episode, or a piece of one, as its source had it but for the time.

    Attributes:
        name: Where it came from, for errors and provenance.
        observations: (T+1, ...) by key.
        actions: (T, ...) in the action space's units.
        rewards: (T,), or None.
        ending: What comes after the last observation.
        begins: Whether the first observation begins an episode.
        others: What else there is by key that is not as long as the observations, such as
            `20 rows beside 21 frames`.
    """

    name: str
    observations: Mapping[str, np.ndarray]
    actions: np.ndarray
    rewards: np.ndarray | None
    ending: Ending
    begins: bool = True
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Source:
    """What there is to import.

    Attributes:
        name: What errors call it.
        action: The actions of all episodes.
        episodes: Read one by one.
        count: How many there are, where that is known.
        assumed: Whether nothing but what users said tells which rows belong together, so that the
            frames are asked, too.
        warnings: What is lost or seems wrong; reading the episodes may add some.
        notes: What was found out or assumed.
        skipped: What was left out, each with the reason; reading the episodes may add some.
    """

    name: str
    action: ActionSpec
    episodes: Iterator[ForeignEpisode]
    count: int | None = None
    assumed: bool = False
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
