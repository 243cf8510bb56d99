"""The phases of a round: each reads files and leaves files, so that it can be done again."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from srvp_world.agents.dyna_config import DynaConfig
from srvp_world.agents.gather import set_apart, spread
from srvp_world.agents.improve import improve, learning_at_once, learns
from srvp_world.agents.journal import Numbers
from srvp_world.agents.pace import Pace, Share
from srvp_world.agents.saved import PLANNER, POLICY, dream_returns, saved_agent
from srvp_world.checkpoint import World, load
from srvp_world.config import PixelConfig
from srvp_world.data.dataset import Dataset
from srvp_world.envs.collect import run_episodes
from srvp_world.envs.learn import learn_world
from srvp_world.envs.rollout import EpisodeResult
from srvp_world.envs.starts import StartPool, clips_of, watch_clips
from srvp_world.train.distributed import Processes
from srvp_world.train.snapshot import BEST, LAST

WORLD = "world.safetensors"
FINAL_SEED = 10_000  # of the first real episode that scores the agent that is kept
ROUND_SEED = 20_000  # the same for a round's agent

_POOL_EPISODES = 100  # whose states dreams begin from
_PROBE_UPDATES, _PROBE_STEPS, _PROBE_EPISODES = 20, 4_096, 2


@dataclass(frozen=True, kw_only=True)
class Phases:
    """The files of a run, and what is done with them.

    Attributes:
        out: Folder of the run.
        data: Folder of the data set.
        config: Of the run.
        pixels: The real env; None where there is none to play in.
        longest: Decisions of its longest episode; None where worlds know.
        progress: Whether to show bars.
    """

    out: Path
    data: Path
    config: DynaConfig
    pixels: PixelConfig | None
    longest: int | None
    progress: bool

    def folder(self, index: int) -> Path:
        """Give the folder of a round, counted from 0."""
        return self.out / "rounds" / str(index + 1)

    def world(self, index: int) -> Path:
        """Give the file of a round's world."""
        return self.folder(index) / WORLD

    def agent(self, index: int) -> Path:
        """Give the file of a round's agent."""
        return self.folder(index) / (POLICY if learns(self.config.agent) else PLANNER)

    def fit(self, index: int, share: Share) -> Numbers:
        """Fit a round's world to all data, from the last round's weights on.

        What a killed fit has done counts from its last snapshot on, bit for bit on a CPU.
        """
        run = self.folder(index) / "fit"
        init = load(self.world(index - 1)) if index else None
        fresh = not (run / LAST).exists()
        world, numbers = self._learn(index, share.updates, run, init, resume=not fresh)
        world.save(self.world(index))
        if not fresh:
            numbers["update_seconds"] = None  # of this start alone, which may be of no update
        return {"updates": share.updates, **_last_scalars(run), **numbers}

    def improve(self, index: int, share: Share) -> Numbers:
        """Make a round's agent in the dream of its world."""
        world = load(self.world(index), self.config.device)
        pool = self._pool(world)
        started = perf_counter()
        done = improve(
            self.config.agent,
            world,
            self.folder(index),
            steps=share.dream_steps,
            seed=self.config.round_seed(index),
            pool=pool,
            settings=self.config.settings,
            progress=self.progress,
        ).steps
        if not done:
            return {"dream_steps": 0}
        seconds = perf_counter() - started
        return {"dream_steps": done, "dream_step_seconds": seconds / done}

    def evaluate(self, index: int) -> Numbers:
        """Score a round's agent in the dream and on real episodes that nothing is learnt from."""
        return self._score(self.world(index), self.agent(index), ROUND_SEED, False)

    def keep(self, index: int) -> Numbers:
        """Copy the world and the agent of a round to where they are looked for, and score them."""
        world = load(self.world(index)).save(self.out / WORLD)
        agent = self.out / self.agent(index).name
        shutil.copyfile(self.agent(index), agent)
        return {"round": index + 1, **self._score(world, agent, FINAL_SEED, True)}

    def forget(self, index: int) -> None:
        """Delete what only a fit that goes on needs."""
        for name in (LAST, BEST):
            (self.folder(index) / "fit" / name).unlink(missing_ok=True)

    def probe(self, real_step: float) -> Numbers:
        """Do a little of everything to see how fast this machine is; nothing of it stays."""
        folder = self.out / "probe"
        shutil.rmtree(folder, ignore_errors=True)
        config, started = self.config, perf_counter()
        learnt, numbers = self._learn(0, _PROBE_UPDATES, folder / "fit", None, resume=False)
        updating = numbers["update_seconds"]
        fit = perf_counter() - started - _PROBE_UPDATES * updating
        learnt.save(folder / WORLD)
        world = load(folder / WORLD, config.device)
        started = perf_counter()
        pool = self._pool(world)
        watching = perf_counter() - started
        agent, dream_step = self._time_of_dream_step(world, folder, pool)
        started = perf_counter()
        self._dream(world, agent, pool, config.round_episodes)
        dreams = perf_counter() - started
        decision, decisions = self._time_of_decision(folder / WORLD, agent)
        shutil.rmtree(folder)
        return vars(
            Pace(
                real_step=real_step,
                update=updating,
                fit=fit,
                dream_step=dream_step,
                decision=decision,
                longest=self.longest or 2 * decisions,
                dreams=dreams,
                watching=watching,
            )
        )

    def _time_of_dream_step(
        self, world: World, folder: Path, pool: StartPool
    ) -> tuple[Path, float]:
        """Make an agent, and give the seconds of a dream step that it learns from.

        What has to be made ready once is made ready by another agent before it.
        """
        config = self.config
        for steps in (1, min(_PROBE_STEPS, config.dream_steps)):
            started = perf_counter()
            made = improve(
                config.agent,
                world,
                folder,
                steps=steps,
                seed=0,
                pool=pool,
                settings=learning_at_once(config.agent, config.settings),
                progress=False,
            )
        return made.file, (perf_counter() - started) / made.steps if made.steps else 0.0

    def _time_of_decision(self, world: Path, agent: Path) -> tuple[float, int]:
        """Give the seconds of a real decision, and how many the longest episode had."""
        spec = load(world).action
        if self.pixels is None or spec is None:
            return 0.0, 0
        acting, started = saved_agent(world, agent)(spec), perf_counter()
        seeds = range(ROUND_SEED, ROUND_SEED + _PROBE_EPISODES)
        played = run_episodes(self.pixels, acting, seeds, progress=False)
        counts = [result.decisions for result in played]
        return (perf_counter() - started) / sum(counts), max(counts)

    def _learn(
        self, index: int, updates: int, run: Path, init: World | None, *, resume: bool
    ) -> tuple[World, Numbers]:
        data, train = Dataset.open(self.data), self.config.fit(index, updates)
        training, held_out = set_apart(data)
        learnt = learn_world(
            training,
            self.config.model,
            train,
            run,
            held_out=held_out,
            init=init,
            resume=resume,
            progress=self.progress,
            processes=Processes(device=self.config.device),
        )
        world = replace(learnt.world, pixels=self.pixels or learnt.world.pixels)
        if self.longest is not None:  # what agents live to see, not what random play did
            world = replace(world, episode_length=self.longest)
        frames = train.batch_size * train.window
        speed = learnt.fit.frames_per_second
        return world, {"update_seconds": frames / speed if speed else None}

    def _pool(self, world: World) -> StartPool:
        """Watch episodes of the data set with a world, for dreams to begin where they went."""
        data = Dataset.open(self.data)
        return watch_clips(
            world.model, clips_of(data.beginnings(_POOL_EPISODES, self.config.seed, by_frames=True))
        )

    def _dream(self, world: World, agent: Path, pool: StartPool, real: int) -> list[float]:
        """Dream what scores an agent beside so many real episodes; give the returns."""
        episodes = self.config.dream_episodes if learns(self.config.agent) else real
        returns: list[float] = dream_returns(world, agent, episodes=episodes, pool=pool).tolist()
        return returns

    def _score(self, world_path: Path, agent: Path, seed: int, final: bool) -> Numbers:
        world = load(world_path, self.config.device)
        episodes = self.config.final_episodes if final else self.config.round_episodes
        dream = spread(self._dream(world, agent, self._pool(world), episodes))
        assert dream is not None
        if self.pixels is None:
            return {"real": None, "dream": dream, "gap": None, "evaluation_steps": 0}
        played = run_episodes(
            self.pixels,
            saved_agent(world_path, agent),
            range(seed, seed + episodes),
            workers=self.config.workers,
            progress=self.progress,
        )
        real = spread([result.episode_return for result in played])
        assert real is not None
        return {
            "real": {**real, "decisions": _mean_decisions(played)},
            "dream": dream,
            "gap": dream["mean"] - real["mean"],
            "evaluation_steps": sum(result.real_steps for result in played),
        }


def _mean_decisions(played: Sequence[EpisodeResult]) -> float:
    return sum(result.decisions for result in played) / len(played)


def _last_scalars(run: Path) -> Numbers:
    """Read the last loss and the last validation of a fit, which wrote them down."""
    last: Numbers = {}
    for line in (run / "scalars.jsonl").read_text().splitlines():
        last |= json.loads(line)
    names = {"loss": "train/total", "validation_loss": "validation/total"}
    names["open_loop_psnr"] = "validation/psnr"
    return {name: last.get(logged) for name, logged in names.items()}
