"""Windows of a data set that others go on recording."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from srvp_world.data.dataset import Dataset
from srvp_world.data.windows import WindowSampler
from srvp_world.errors import MissingFileError
from srvp_world.world import WHOLE, Batch, Shard

REFRESH = 20  # batches between two looks at what is new


class Windows(Protocol):
    """Draws batches of windows."""

    def batch(self, iteration: int, shard: Shard = WHOLE) -> Batch:
        """Draw the windows of an iteration, and give those of a shard."""
        ...

    def refresh(self) -> Dataset:
        """Look at what is there now, and give it."""
        ...


class LiveWindows:
    """Draws windows of what is there now: new episodes soon, deleted ones no more.

    A batch depends on when it is drawn, so that a run cannot be repeated batch by batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        sampler: Callable[[Dataset], Windows],
        *,
        without: Collection[str] = (),
    ) -> None:
        """Begin with the episodes that are there.

        Args:
            dataset: Where the windows come from.
            sampler: Draws windows of a data set that does not change.
            without: Episodes that are never drawn, such as those held out.
        """
        self.dataset = dataset
        self._make, self._without = sampler, frozenset(without)
        self._sampler = sampler(dataset)
        self._drawn = 0

    def batch(self, iteration: int, shard: Shard = WHOLE) -> Batch:
        """Draw a batch as `WindowSampler.batch` does, of what is there.

        Raises:
            DataError: Where nothing is left, or a file is broken.
        """
        if self._drawn % REFRESH == 0 and self._drawn:
            self.refresh()
        self._drawn += 1
        while True:
            try:
                return self._sampler.batch(iteration, shard)
            except MissingFileError:
                self.refresh()

    def refresh(self) -> Dataset:
        """Look at what is there now, and give it.

        Raises:
            DataError: Where nothing is left, or a file is broken.
        """
        now = Dataset.open(self.dataset.folder, live=True)
        records = tuple(record for record in now.records if record.episode not in self._without)
        if records != self.dataset.records:
            self.dataset = replace(self.dataset, records=records)
            self._sampler = self._make(self.dataset)
        return self.dataset


def draw_windows(dataset: Dataset, *, without: Collection[str] = (), **settings: Any) -> Windows:
    """Draw windows of a data set, live where it is.

    Args:
        dataset: Where they come from.
        without: Episodes that are never drawn, of those that come.
        settings: Of `WindowSampler`.

    Raises:
        ConfigError: As `WindowSampler` does.
        DataError: As `WindowSampler` does.
    """
    make: Callable[[Dataset], WindowSampler] = partial(WindowSampler, **settings)
    return LiveWindows(dataset, make, without=without) if dataset.live else make(dataset)
