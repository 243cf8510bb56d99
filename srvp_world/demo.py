"""From real pixels to a solved pendulum: watch, learn the world, dream, act in reality."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from srvp_world.agents.evaluate import evaluate_in_dream, evaluate_in_reality
from srvp_world.agents.improve import one_thread
from srvp_world.agents.policy import LatentPolicy
from srvp_world.agents.sb3 import train_in_dream
from srvp_world.agents.sb3_policy import policy_from_sb3
from srvp_world.benchmark.plots import plot_returns
from srvp_world.checkpoint import World, load
from srvp_world.config import PixelConfig, TrainConfig, to_json
from srvp_world.data.dataset import Dataset
from srvp_world.data.files import write_atomically
from srvp_world.data.windows import to_batch
from srvp_world.envs.collect import collect
from srvp_world.envs.learn import VALIDATION_FRACTION, LearntWorld, learn_world
from srvp_world.envs.policies import policy_factory
from srvp_world.errors import OutputError
from srvp_world.metrics.frame import psnr
from srvp_world.pictures import frames_to_gif, side_by_side
from srvp_world.presets import preset
from srvp_world.results import write_results
from srvp_world.train.snapshot import LAST

PIXELS = PixelConfig(env_id="Pendulum-v1", frame_size=64, channels=1, action_repeat=2)
WATCHED = 10  # frames before the open-loop prediction that is measured and shown


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """How much of everything.

    Attributes:
        real_steps: Steps of the real environment to learn from.
        train: How to fit the world.
        dream_steps: Steps that the agent trains for, all of them imagined.
        evaluation_episodes: Real episodes, with fixed seeds, that score the agent before and after.
        curve_episodes: The same for each point of the plot.
        curve_points: Points of the plot between before and after.
        workers: Processes that step the real environment.
    """

    real_steps: int = 20_000
    train: TrainConfig = preset("control").train
    dream_steps: int = 100_000
    evaluation_episodes: int = 50
    curve_episodes: int = 8
    curve_points: int = 4
    workers: int = 2


FAST = DemoConfig(
    real_steps=1_200,
    train=replace(preset("control").train, iterations=6, decay=0, batch_size=4, validate_every=3),
    dream_steps=4_096,
    evaluation_episodes=2,
    curve_episodes=1,
    curve_points=1,
    workers=1,
)
EVALUATION_SEED = 10_000
CURVE_SEED = 20_000


def run_demo(
    out: Path, *, seed: int = 0, config: DemoConfig | None = None, progress: bool = True
) -> dict[str, Any]:
    """Solve Pendulum-v1 from pixels in imagination, and leave everything in a run folder.

    The folder holds `data/` (episodes), `train/` (logs and checkpoints), `world.safetensors`,
    `policies/`, `truth_and_dream.gif`, `agent_in_reality.gif`, `return_against_dream_steps.png` and
    `results.json`. A demo that was stopped goes on where it was when it is started again in the
    same folder.

    Args:
        out: Run folder.
        seed: Of data, world and agent; evaluation seeds are fixed.
        config: How much of everything.
        progress: Whether to show bars.

    Returns:
        The numbers of `results.json`.

    Raises:
        OutputError: If the folder holds a finished demo.
    """
    config = config or DemoConfig()
    if (out / "results.json").exists():
        raise OutputError(f"{out} holds a finished demo: choose another folder with --out")
    clock = _Clock()
    resumed = out.exists()
    data = _collect(out / "data", config, seed, progress)
    clock.lap("collect")
    learnt = _learn(data, out, config, seed, progress)
    clock.lap("fit")
    policies, seconds = _train_agent(learnt, out, config, seed, progress)
    clock.lap("train_agent")
    numbers = _evaluate(learnt, out, policies, config, progress)
    _, held_out = data.split(VALIDATION_FRACTION, seed)  # as learning did
    numbers |= _open_loop(learnt.world, held_out, out)
    clock.lap("evaluate")
    numbers |= {
        "real_steps": config.real_steps,
        "dream_steps": config.dream_steps,
        "minutes": clock.total / 60,
        "seconds": clock.laps,
        "resumed": resumed,
        "training_frames_per_second": learnt.fit.frames_per_second,
        "dream_steps_per_second": config.dream_steps / seconds,
    }
    learnt.world.with_measured(**numbers, seed=seed).save(out / "world.safetensors", half=True)
    protocol = {"pixels": to_json(PIXELS), "demo": to_json(config), "watched": WATCHED}
    protocol |= {"evaluation_seeds": f"{EVALUATION_SEED}+i", "policy": "most likely action"}
    write_results(
        out / "results.json",
        numbers,
        command="srvp-world demo",
        protocol=protocol,
        seed=seed,
        device="cpu",
    )
    return numbers


def table(numbers: dict[str, Any], out: Path, program: str = "srvp-world") -> str:
    """Lay out a demo's numbers as a small Markdown table, with the next command to try."""
    rows = [
        ("real steps", f"{numbers['real_steps']:,}"),
        ("minutes", f"{numbers['minutes']:.1f}"),
        ("real return before", _spread(numbers["return_before"])),
        ("real return after", _spread(numbers["return_after"])),
        ("dream return after", _spread(numbers["dream_return"])),
    ]
    lines = ["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    command = f"{program} evaluate {out}/world.safetensors {out}/policies/final.safetensors"
    return "\n".join([*lines, "", f"Everything is in {out}. Next: {command} --episodes 10"])


class _Clock:
    """Times the stages of a run."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._started = self._last = perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = perf_counter()
        self.laps[name] = round(now - self._last, 1)
        self._last = now

    @property
    def total(self) -> float:
        """Seconds up to the last lap."""
        return self._last - self._started


def _collect(folder: Path, config: DemoConfig, seed: int, progress: bool) -> Dataset:
    """Record random play, unless an earlier start did; half a recording begins anew."""
    if not folder.exists():
        draft = folder.with_name(".collecting")
        shutil.rmtree(draft, ignore_errors=True)
        collect(
            PIXELS,
            draft,
            policy_factory("smooth-random"),
            steps=config.real_steps,
            workers=config.workers,
            seed=seed * config.real_steps,
            progress=progress,
        )
        draft.rename(folder)
    return Dataset.open(folder)


def _learn(data: Dataset, out: Path, config: DemoConfig, seed: int, progress: bool) -> LearntWorld:
    """Fit the world, save it, and go on with that file: all that follows is measured on it."""
    learnt = learn_world(
        data,
        preset("control").model,
        replace(config.train, seed=seed),
        out / "train",
        resume=(out / "train" / LAST).exists(),
        progress=progress,
    )
    path = learnt.world.save(out / "world.safetensors", half=True)
    return learnt._replace(world=load(path))


def _train_agent(
    learnt: LearntWorld, out: Path, config: DemoConfig, seed: int, progress: bool
) -> tuple[dict[int, Path], float]:
    """Train PPO in the dream; give its policies by dream steps, from untrained on, and the time."""
    world, pool = learnt.world, learnt.pool
    every = config.dream_steps / (config.curve_points + 1)
    policies: dict[int, Path] = {}

    def keep(model: PPO) -> None:
        # The last rollout is not yet learnt from.
        learnt_from = model.num_timesteps - model.n_steps * model.n_envs
        if learnt_from >= len(policies) * every:
            policies[learnt_from] = _save(model, world, out, f"step_{learnt_from:07d}")

    started = perf_counter()
    with one_thread():
        model = train_in_dream(
            world,
            steps=config.dream_steps,
            seed=seed,
            pool=pool,
            on_rollout=keep,
            progress=progress,
        )
    policies[model.num_timesteps] = _save(model, world, out, "final")
    return policies, perf_counter() - started


def _save(model: BaseAlgorithm, world: World, out: Path, name: str) -> Path:
    return policy_from_sb3(model, world).save(out / "policies" / f"{name}.safetensors")


def _evaluate(
    learnt: LearntWorld, out: Path, policies: dict[int, Path], config: DemoConfig, progress: bool
) -> dict[str, Any]:
    """Score world and agent, and draw the pictures."""
    world_path, world = out / "world.safetensors", learnt.world

    def play(policy: Path, seeds: Sequence[int], frames_of: Sequence[int] = ()) -> Any:
        return evaluate_in_reality(
            world,
            world_path,
            policy,
            seeds=seeds,
            workers=config.workers,
            frames_of=frames_of,
            progress=progress,
        )

    seeds = range(EVALUATION_SEED, EVALUATION_SEED + config.evaluation_episodes)
    steps = sorted(policies)
    shown = seeds[:3]
    before = play(policies[steps[0]], seeds)
    after = play(policies[steps[-1]], seeds, shown)
    curve_seeds = range(CURVE_SEED, CURVE_SEED + config.curve_episodes)
    curve = {step: play(policies[step], curve_seeds) for step in steps[1:-1]}
    curve = {steps[0]: before, **curve, steps[-1]: after}
    returns = {
        step: [result.episode_return for result in results] for step, results in curve.items()
    }
    final = LatentPolicy.load(policies[steps[-1]], world)
    dreamt = evaluate_in_dream(world, final, pool=learnt.pool)
    frames = [result.frames for result in after if result.frames is not None]
    write_atomically(
        out / "agent_in_reality.gif",
        frames_to_gif(np.concatenate(frames, axis=2), world.fps, scale=3),
    )
    plot_returns(returns, float(dreamt.mean()), out / "return_against_dream_steps.png")
    return {
        "return_before": _summary(returns[steps[0]]),
        "return_after": _summary(returns[steps[-1]]),
        "dream_return": _summary(dreamt.tolist()),
        "curve": {str(step): _summary(values) for step, values in returns.items()},
    }


def _open_loop(world: World, held_out: Dataset, out: Path) -> dict[str, Any]:
    """Measure and show the dream of held-out episodes beside the truth, with their own actions."""
    batch = to_batch([held_out.read(i) for i in range(min(len(held_out), 8))])
    frames = world.model.preview(batch, WATCHED, torch.Generator().manual_seed(0))
    quality = psnr(frames, batch.frames).mean(0)[WATCHED:]
    still = psnr(batch.frames[:, WATCHED - 1 : WATCHED].expand_as(batch.frames), batch.frames).mean(
        0
    )[WATCHED:]
    movie = side_by_side(batch.frames[:4], frames[:4], WATCHED)
    write_atomically(out / "truth_and_dream.gif", frames_to_gif(movie, world.fps, scale=2))
    ahead = [step for step in (1, 10, 30) if step <= len(quality)]
    return {
        "open_loop_psnr": {str(step): float(quality[step - 1]) for step in ahead},
        "copy_last_frame_psnr": {str(step): float(still[step - 1]) for step in ahead},
    }


def _summary(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values)), "episodes": len(values)}


def _spread(summary: dict[str, Any]) -> str:
    return f"{summary['mean']:.0f} ± {summary['std']:.0f} ({summary['episodes']} episodes)"
