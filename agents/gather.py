"""The growing data set of a run: rounds of collecting within a budget, and what was collected."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.agents.journal import Numbers
from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import Ending, read_array
from srvp_world.data.index import Record
from srvp_world.data.info import DESCRIPTION
from srvp_world.envs.collect import collect
from srvp_world.envs.policies import PolicyFactory, policy_factory
from srvp_world.spaces import ActionSpec

SEEDS = 1_000_000  # that a run may collect with before it uses those of another
_APART = 20  # one episode of so many is held out for validation, and stays so in every round


class _Taken(NamedTuple):
    """What of a round is on disk already: real steps, at most, and the first seed that is free."""

    steps: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """Where and how a run collects.

    Attributes:
        folder: Of the data set.
        pixels: The env.
        config: Of the run.
        progress: Whether to show a bar.
    """

    folder: Path
    pixels: PixelConfig
    config: DynaConfig
    progress: bool

    def gather(
        self,
        index: int,
        before: Numbers | None,
        policy: PolicyFactory,
        until: float | None = None,
    ) -> Numbers:
        """Collect what a round, counted from 0, has left of its budget.

        Episodes that a killed run left behind count; one that was cut is lost, and so are its
        steps. No seed is played twice.

        Args:
            index: Of the round.
            before: What the round before came to; None of the first.
            policy: What acts.
            until: When to stop, as `time.time` counts, but not without a step; later rounds do not
                make up for it.

        Returns:
            Real steps of this round and of all, how many the time did not allow, the seconds that
            each of those of this start took, the episodes, their returns, and the next seed.
        """
        config, repeat = self.config, self.pixels.action_repeat
        first = before["next_seed"] if before else first_seed(config.seed)
        used = before["total_steps"] if before else 0
        missed = before.get("missed", 0) if before else 0
        budget = config.steps_until(index, repeat) - used - missed
        taken, each = self._taken(first), None
        steps, left = min(taken.steps, budget), budget - taken.steps
        late = until is not None and time.time() >= until
        if left >= repeat and not (late and steps):
            result = collect(
                self.pixels,
                self.folder,
                policy,
                steps=left,
                workers=config.workers,
                seed=taken.seed,
                max_transitions=config.max_transitions,
                until=until,
                progress=self.progress,
            )
            steps += result.real_steps
            each = result.seconds / result.real_steps
        if until is not None and time.time() >= until:
            missed += budget - steps
        return {
            "real_steps": steps,
            "total_steps": used + steps,
            "missed": missed,
            "real_step_seconds": each,
            **self._summary(first),
            "next_seed": self._taken(first).seed,
        }

    def _taken(self, first: int) -> _Taken:
        """Count what lies there of a round whose first seed is `first`.

        Files do not tell how many real steps the last decision of an episode took, so it counts in
        full: a budget is never exceeded.
        """
        records = self._records(first)
        steps = sum(record.transitions for record in records) * self.pixels.action_repeat
        seeds = [seed_of(record) for record in records]
        # Each worker may have been in an episode, whose seed lies less than `workers` further on.
        return _Taken(steps, max(seeds) + 1 + self.config.workers if seeds else first)

    def _records(self, first: int) -> list[Record]:
        if not (self.folder / DESCRIPTION).exists() or not any(self.folder.glob("seed*")):
            return []
        records = Dataset.open(self.folder).records
        return [record for record in records if seed_of(record) >= first]

    def _summary(self, first: int) -> Numbers:
        """Sum up the episodes of a round that ended; the return of a cut one is a part of one."""
        returns: dict[str, float] = {}
        ended: set[str] = set()
        records = self._records(first)
        for record in records:
            total = float(read_array(self.folder / record.name, "rewards").sum())
            returns[record.episode] = returns.get(record.episode, 0.0) + total
            if record.ending != Ending.UNFINISHED:
                ended.add(record.episode)
        values = [returns[name] for name in sorted(ended)]
        return {"episodes": len(returns), "return": spread(values)}


def first_seed(run: int) -> int:
    """Give the first seed that a run, named by its own seed, collects with.

    No evaluation has such seeds, and they fit into 32 bits, for some environments take no others.
    """
    block, place = run % 3, run // 3 % 1000
    return 1_000_000_000 * (1 + block) + SEEDS * place


def first_policy(config: DynaConfig, action: ActionSpec) -> PolicyFactory:
    """Find how the first round plays."""
    auto = "smooth-random" if action.kind == "box" else "random"
    return policy_factory(auto if config.first_policy == "auto" else config.first_policy)


def set_apart(data: Dataset) -> tuple[Dataset, Dataset | None]:
    """Split collected episodes by their seeds, so that later rounds hold out the same ones.

    Returns:
        Episodes to train on and to validate on; None where the seeds give no split.
    """
    chosen = {record.episode for record in data.records if seed_of(record) % _APART == 1}
    held_out = tuple(record for record in data.records if record.episode in chosen)
    rest = tuple(record for record in data.records if record.episode not in chosen)
    begins = [any(record.part == 0 for record in part) for part in (rest, held_out)]
    if not all(begins):
        return data, None
    return Dataset(data.folder, data.info, rest), Dataset(data.folder, data.info, held_out)


def seed_of(record: Record) -> int:
    """Read the seed of an episode from its name; -1 where it has none."""
    found = re.match(r"seed(\d+)-", record.name)
    return int(found[1]) if found else -1


def spread(values: list[float]) -> Numbers | None:
    """Give mean, standard deviation and each of some returns; None where there are none."""
    if not values:
        return None
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "each": values}
