"""Rounds of a run, one phase after the other, each written down; and what they come to."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from srvp_world.agents.journal import Journal, Numbers
from srvp_world.agents.pace import Pace, Share, share_out, whole
from srvp_world.agents.phases import FINAL_SEED, ROUND_SEED, WORLD, Phases
from srvp_world.checkpoint import load
from srvp_world.config import PixelConfig
from srvp_world.results import write_results
from srvp_world.train.log import Logger

RESULTS = "results.json"
DEFINITIONS = {
    "real": "returns of real episodes, whole ones, by the likeliest action or the best plan",
    "dream": "returns of dreams that begin where real episodes began and last as long at most",
    "gap": "mean dream return less mean real return",
    "open_loop_psnr": "the fit's last validation, in dB, over all imagined frames of its windows",
    "real_steps": "collected to learn from; those of evaluations are evaluation_steps",
}


@dataclass(frozen=True, kw_only=True)
class DynaResult:
    """What a run came to.

    Attributes:
        out: Its folder.
        world: File of the world that is kept.
        agent: File of its agent: a policy, or the JSON of a planner.
        pixels: The real env; None where there was none to play in.
        numbers: Those of `results.json`.
    """

    out: Path
    world: Path
    agent: Path
    pixels: PixelConfig | None
    numbers: Numbers


class Loop:
    """Does the rounds of a run that its journal does not have yet."""

    def __init__(
        self,
        phases: Phases,
        journal: Journal,
        collect: Callable[[int], Numbers],
        on_round: Callable[[Numbers], None] | None,
    ):
        """Prepare to go on.

        Args:
            phases: What fits, improves and evaluates.
            journal: Of the run.
            collect: Collects for a round, counted from 0.
            on_round: Called with the numbers of each round, once, when it is finished.
        """
        self.phases, self.journal, self.config = phases, journal, phases.config
        self._collect, self._on_round = collect, on_round

    def run(
        self,
        protocol: dict[str, Any],
        command: str,
        draw: Callable[[DynaResult], None] | None,
    ) -> DynaResult:
        """Do all rounds, or as many as there is time for; keep an agent and score it.

        Args:
            protocol: What the run is made of.
            command: How to do it again.
            draw: Leaves pictures.
        """
        finished: list[Numbers] = []
        while len(finished) < self.config.rounds and self._worth(len(finished)):
            numbers = self._round(len(finished))
            if numbers is None:
                break
            finished.append(numbers)
        chosen = _choose(finished, self.config.keep)
        kept = self.journal.phase("keep", job=partial(self.phases.keep, chosen))
        numbers = {**self._summary(finished, kept), "reality": protocol.get("reality")}
        world = self.phases.out / WORLD
        load(world).with_measured(agent=kept, real_steps=numbers["real_steps"]).save(world)
        result = DynaResult(
            out=self.phases.out,
            world=world,
            agent=self.phases.out / self.phases.agent(chosen).name,
            pixels=self.phases.pixels,
            numbers=numbers,
        )
        if draw is not None:
            draw(result)
        seeds = {"rounds": f"{ROUND_SEED}+i", "final": f"{FINAL_SEED}+i"}
        write_results(
            self.phases.out / RESULTS,
            numbers,
            command=command,
            protocol={**protocol, "evaluation_seeds": seeds, "definitions": DEFINITIONS},
            seed=self.config.seed,
            device=self.config.device,
        )
        return result

    def _round(self, index: int) -> Numbers | None:
        """Do what is left of a round; give its numbers, or None where time allows no more of it."""
        phases, phase = self.phases, self.journal.phase
        new = self.journal.done(index, "evaluate") is None
        collected = phase(index, "collect", job=partial(self._collect, index))
        share = self._share(index)
        if not share.updates:
            return None
        fitted = phase(index, "fit", job=partial(phases.fit, index, share))
        improved = phase(index, "improve", job=partial(phases.improve, index, share))
        scored = phase(index, "evaluate", job=partial(self._evaluate, index))
        phases.forget(index)
        parts = {"collect": collected, "fit": fitted, "improve": improved, "evaluate": scored}
        numbers = {
            "round": index + 1,
            "real_steps": collected["total_steps"],
            "collected": {name: collected[name] for name in ("real_steps", "episodes", "return")},
            **{name: value for name, value in fitted.items() if name != "seconds"},
            **{name: value for name, value in improved.items() if name != "seconds"},
            **{name: value for name, value in scored.items() if name != "seconds"},
            "seconds": {name: part["seconds"] for name, part in parts.items()},
        }
        if new and self._on_round is not None:
            self._on_round(numbers)
        return numbers

    def _evaluate(self, index: int) -> Numbers:
        """Score a round's agent, and log the round against real steps."""
        scored = self.phases.evaluate(index)
        collected, fitted = (self.journal.done(index, name) or {} for name in ("collect", "fit"))
        before = self.journal.done(index - 1, "collect") or {"total_steps": 0}
        scalars = {
            "real/return": scored["real"] and scored["real"]["mean"],
            "dream/return": scored["dream"]["mean"],
            "dream/gap": scored["gap"],
            "world/loss": fitted["loss"],
            "world/open_loop_psnr": fitted["open_loop_psnr"],
        }
        # What a killed evaluation logged is taken back.
        with Logger(self.phases.out, before["total_steps"]) as logger:
            known = {name: value for name, value in scalars.items() if value is not None}
            logger.scalars(known, collected["total_steps"])
        return scored

    def _worth(self, index: int) -> bool:
        """Say whether there is time for a round; one that was begun counts its real steps first."""
        if not index or self.config.minutes is None:
            return True
        begun = self.journal.spent(index, "collect") is not None
        if begun or self.journal.done(index, "collect"):
            return True
        return self._time_for(index, collected=False) is not None

    def _share(self, index: int) -> Share:
        """Give what a round does, decided once and for all."""
        if self.config.minutes is None:
            return whole(self.config, index)
        seen = self.journal.done(0, "collect") or {}
        real_step = seen["seconds"] / seen["real_steps"]
        self.journal.phase("probe", job=partial(self.phases.probe, real_step))
        nothing = Share(0, 0)
        numbers = self.journal.phase(
            index,
            "share",
            job=lambda: (self._time_for(index, collected=True) or nothing)._asdict(),
        )
        return Share(numbers["updates"], numbers["dream_steps"])

    def _time_for(self, index: int, *, collected: bool) -> Share | None:
        assert self.config.minutes is not None
        left = 60 * self.config.minutes - self.journal.seconds
        repeat = self.phases.pixels.action_repeat if self.phases.pixels else 1
        return share_out(
            self.config, self._pace(index), index, left, repeat=repeat, collected=collected
        )

    def _pace(self, index: int) -> Pace:
        """Give how fast this machine is: as probed, or as seen in the last round."""
        probed = self.journal.done("probe") or {}
        pace = Pace(**{name: value for name, value in probed.items() if name != "seconds"})
        fitted, improved = (self.journal.done(index - 1, name) or {} for name in ("fit", "improve"))
        collected = self.journal.done(index, "collect") or self.journal.done(index - 1, "collect")
        if collected and collected.get("real_step_seconds"):
            pace = replace(pace, real_step=collected["real_step_seconds"])
        if fitted.get("update_seconds"):
            pace = replace(pace, update=fitted["update_seconds"])
        if improved.get("dream_step_seconds"):
            pace = replace(pace, dream_step=improved["dream_step_seconds"])
        return pace

    def _summary(self, finished: list[Numbers], kept: Numbers) -> Numbers:
        """Sum the run up; a last round may have been collected for, and no more."""
        last = self.journal.done(len(finished), "collect") or {}
        final = {name: value for name, value in kept.items() if name != "seconds"}
        scored = [*finished, kept]
        return {
            "real_return": final["real"],
            "dream_return": final["dream"],
            "gap": final["gap"],
            "kept_round": final["round"],
            "rounds": finished,
            "real_steps": last.get("total_steps", finished[-1]["real_steps"]),
            "evaluation_steps": sum(part["evaluation_steps"] for part in scored),
            "dream_steps": sum(part["dream_steps"] for part in finished),
            "random_return": finished[0]["collected"]["return"],
            "minutes": self.journal.seconds / 60,
            "seconds": self.journal.phase_seconds(),
        }


def _choose(finished: list[Numbers], keep: str) -> int:
    """Choose the round whose agent is kept, by the rounds' own evaluations."""
    if keep == "last":
        return len(finished) - 1
    means = [(numbers["real"] or numbers["dream"])["mean"] for numbers in finished]
    return means.index(max(means))
