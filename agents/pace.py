"""A budget of wall time: how many rounds, and how much of each, still fit into it."""

from dataclasses import dataclass
from typing import NamedTuple

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.agents.improve import learns

LEAST = 0.3  # of what a later round should do; one that had time for less is left out
COLLECTING = 0.5  # of the time that is left, at most, goes into collecting for a round
_MARGIN = 0.9  # of the time is given out, for machines are not always equally fast
_SPAWN = 10.0  # seconds until workers play, which have to import everything


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What everything takes on this machine.

    Attributes:
        real_step: Seconds of a real step, with its recording.
        update: Seconds of an update of a world.
        fit: Seconds of a fit beside its updates.
        dream_step: Seconds of a dream step that an agent learns from.
        decision: Seconds of a real decision of an agent.
        longest: Decisions of the longest episode.
        dreams: Seconds of the dreams that score a round's agent.
        watching: Seconds until dreams know where to begin, before an agent learns and before each
            score; 0 in runs that were begun when it was not timed.
    """

    real_step: float
    update: float
    fit: float
    dream_step: float
    decision: float
    longest: int
    dreams: float
    watching: float = 0.0

    def evaluation(self, config: DynaConfig, *, final: bool = False) -> float:
        """Give the seconds that an evaluation takes at most."""
        episodes = config.final_episodes if final else config.round_episodes
        workers = min(config.workers, episodes)
        busiest = -(-episodes // workers)
        played = busiest * self.longest * self.decision
        as_many = 1 if learns(config.agent) else episodes / config.round_episodes
        return played + self.watching + as_many * self.dreams + _SPAWN * (workers > 1)

    def collecting(self, config: DynaConfig, index: int, repeat: int) -> float:
        """Give the seconds that collecting for a round takes, for which agents play but at first.

        What was seen may be of random play, which decides in no time.
        """
        decision = self.decision / repeat / config.workers if index else 0.0
        return _steps(config, index, repeat) * max(self.real_step, decision)


class Share(NamedTuple):
    """What a round has time for.

    Attributes:
        updates: Of its fit.
        dream_steps: Of its agent.
    """

    updates: int
    dream_steps: int


def whole(config: DynaConfig, index: int) -> Share:
    """Give what a round, counted from 0, does without a limit."""
    return Share(config.updates(index), config.dream_steps * learns(config.agent))


def share_out(
    config: DynaConfig, pace: Pace, index: int, seconds: float, *, repeat: int, collected: bool
) -> Share | None:
    """Say what a round has time for, so that the rounds after it get theirs.

    The first round gets what there is. Where time is short there are fewer rounds, and those are
    cut alike.

    Args:
        config: Of the run.
        pace: Of the machine.
        index: Of the round, counted from 0.
        seconds: That are left.
        repeat: Real steps of a decision.
        collected: Whether the round has its data already.

    Returns:
        What it does; None where a later round is not worth it.
    """
    left = _MARGIN * seconds - pace.evaluation(config, final=True)
    beside = pace.fit + pace.watching + pace.evaluation(config)
    own = whole(config, index)
    scale = 0.0
    for last in range(config.rounds, index, -1):
        rounds = range(index, last)
        collecting = sum(
            pace.collecting(config, k, repeat) for k in rounds if k > index or not collected
        )
        work = sum(_work(whole(config, k), pace) for k in rounds)
        scale = (left - collecting - len(rounds) * beside) / work
        if scale >= LEAST:
            break
    if index and scale < LEAST:
        return None
    scale = min(max(scale, 0.0), 1.0)
    return Share(max(round(scale * own.updates), 1), max(round(scale * own.dream_steps), 1))


def _steps(config: DynaConfig, index: int, repeat: int) -> int:
    before = config.steps_until(index - 1, repeat) if index else 0
    return config.steps_until(index, repeat) - before


def _work(share: Share, pace: Pace) -> float:
    return share.updates * pace.update + share.dream_steps * pace.dream_step
