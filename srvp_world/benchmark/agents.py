"""Agents of many kinds on the same worlds, and SB3 without a world: scored on the same episodes.

For each environment and seed the loop runs once, with PPO. Other agents then learn, or plan, in the
dream of the world that it kept. Each part is written down when it is done, so that a run that was
stopped goes on.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from srvp_world.agents.baseline import SMALLEST, evaluate_baseline, train_baseline
from srvp_world.agents.dyna import run_dyna
from srvp_world.agents.gather import spread
from srvp_world.agents.improve import check_agent
from srvp_world.agents.journal import Numbers, check_same, take
from srvp_world.agents.loop import RESULTS
from srvp_world.agents.pace import Share
from srvp_world.agents.phases import FINAL_SEED, WORLD, Phases
from srvp_world.agents.presets import AgentPreset, agent_preset
from srvp_world.benchmark.agent_parts import BASELINES, LOOP, Part
from srvp_world.benchmark.agent_plots import draw_agent
from srvp_world.benchmark.agents_table import write_report
from srvp_world.checkpoint import load
from srvp_world.data.files import make_folder
from srvp_world.envs.pixels import make_pixel_env
from srvp_world.errors import ConfigError, DataError
from srvp_world.results import write_results
from srvp_world.spaces import ActionSpec

ENVS = ("Pendulum-v1", "CartPole-v1")
METHODS = (LOOP, "actor-critic", "cem")

_LOOP_FOLDER = "loop"
_SPENT = ("real_steps", "evaluation_steps", "dream_steps", "minutes", "seconds")


def bench_agents(
    out: Path | str,
    envs: Sequence[str] = ENVS,
    methods: Sequence[str] = METHODS,
    *,
    seeds: int = 3,
    baseline_seeds: int = 1,
    preset: Callable[[str], AgentPreset] = agent_preset,
    device: str = "cpu",
    on_part: Callable[[str, Part, Numbers], None] | None = None,
    progress: bool = True,
) -> Numbers:
    """Measure agents; it may take hours, and goes on where it was when it is called again.

    The folder gets `ENV/seedK/METHOD.json` for each part, then `results.json`, `table.md` and two
    pictures for each environment, of everything that lies there.

    Args:
        out: Folder of the benchmark.
        envs: Gymnasium ids.
        methods: Kinds of agents. The loop's own, `ppo`, is measured in any case.
        seeds: How many runs of the loop for each environment.
        baseline_seeds: How many runs of SB3's PPO with a CNN for each budget; 0 for none.
        preset: Gives an environment's pixels, loop and settings of agents.
        device: Where worlds are fitted and dreamt.
        on_part: Called for each part that was not there yet: with which of how many it is, with
            the part, and with its numbers.
        progress: Whether to show bars.

    Returns:
        The numbers of `results.json`.

    Raises:
        ConfigError: If nothing is asked for, an environment does not take an agent, or the folder
            holds results of another configuration.
        UnknownNameError: If there is no such environment or kind of agent.
        SpaceError: If an environment cannot be rendered, or takes actions that no world takes.
        DataError: If results in the folder are broken.
        OutputError: If the folder cannot be written, or another process measures what is next.
    """
    if not envs:
        raise ConfigError("there is nothing to measure: name an environment")
    if seeds < 1:
        raise ConfigError(f"seeds must be at least 1, got {seeds}")
    if baseline_seeds < 0:
        raise ConfigError(f"baseline_seeds must not be negative, got {baseline_seeds}")
    parts: list[Part] = []
    for env_id in dict.fromkeys(envs):
        chosen = preset(env_id)
        _check(chosen, methods, baseline_seeds)
        parts += _parts(Path(out), chosen, methods, seeds, baseline_seeds, device)
    for part in parts:  # before hours are spent: what lies there may be of another run
        part.finished()
    for index, part in enumerate(parts, 1):
        make_folder(part.folder)
        with closing(take(part.folder)):
            if _done(part):
                continue
            numbers = _measure(part, progress)
            write_results(
                part.path,
                numbers,
                command=part.command,
                protocol=part.about,
                seed=part.config.seed,
                device="cpu" if part.method in BASELINES else part.config.device,
            )
        if on_part is not None:
            on_part(f"{index} of {len(parts)}", part, numbers)
    return write_report(Path(out))


def _check(preset: AgentPreset, methods: Sequence[str], baseline_seeds: int) -> None:
    """Refuse what would fail after hours: make the env once, and hold each agent against it."""
    with closing(make_pixel_env(preset.pixels)) as env:
        action = ActionSpec.from_space(env.action_space)
    for method in (LOOP, *methods):
        config = preset.with_agent(method)
        check_agent(method, config.settings, action, uncertainty=config.model.ensemble > 0)
    size = preset.pixels.frame_size
    if baseline_seeds and size < SMALLEST:
        raise ConfigError(
            f"SB3's CNN needs frames of {SMALLEST} pixels at least, {preset.pixels.env_id} has "
            f"{size}: ask for 0 baseline_seeds"
        )


def _parts(
    out: Path,
    preset: AgentPreset,
    methods: Sequence[str],
    seeds: int,
    baseline_seeds: int,
    device: str,
) -> Iterator[Part]:
    """List what there is to do for an environment, the loop of a seed first."""

    def part(method: str, agent: str, seed: int) -> Part:
        config = replace(preset.with_agent(agent), seed=seed, device=device)
        return Part(method=method, out=out, pixels=preset.pixels, config=config)

    for seed in range(max(seeds, baseline_seeds)):
        if seed < seeds:
            for method in dict.fromkeys((LOOP, *methods)):
                yield part(method, method, seed)
        if seed < baseline_seeds:
            for method in BASELINES:
                yield part(method, LOOP, seed)


def _done(part: Part) -> bool:
    """Say whether a part is there; one of another world than the loop's is measured again."""
    numbers = part.finished()
    if numbers is None or part.method in (LOOP, *BASELINES):
        return numbers is not None
    return bool(numbers["world"] == replace(part, method=LOOP).measured()["world"])


def _measure(part: Part, progress: bool) -> Numbers:
    if part.method in BASELINES:
        return _baseline(part, progress)
    return _loop(part, progress) if part.method == LOOP else _in_its_world(part, progress)


def _loop(part: Part, progress: bool) -> Numbers:
    """Run the loop of an environment and a seed; its agent is scored by its end."""
    out = part.folder / _LOOP_FOLDER
    if (out / RESULTS).exists():  # a kill came between the end of the loop and that of the part
        numbers = _finished_loop(part, out / RESULTS)
    else:
        numbers = run_dyna(
            part.pixels, out, part.config, command=part.command, draw=draw_agent, progress=progress
        ).numbers
    return {
        "real": numbers["real_return"],
        "dream": numbers["dream_return"],
        "random": numbers["random_return"],
        **{name: numbers[name] for name in _SPENT},
        "gap": numbers["gap"],
        "kept_round": numbers["kept_round"],
        "world": load(out / WORLD).fingerprint,
        "rounds": [_short(entry) for entry in numbers["rounds"]],
    }


def _finished_loop(part: Part, path: Path) -> Numbers:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stored = {name: content["protocol"][name] for name in ("env", "config")}
        numbers: Numbers = content["numbers"]
    except (OSError, ValueError, LookupError, TypeError):
        raise DataError(f"{path} is broken: delete {path.parent} to run the loop again") from None
    about = part.about
    check_same({name: about[name] for name in stored}, stored, path.parent)
    return numbers


def _short(entry: Numbers) -> Numbers:
    """Keep of a round what curves are drawn from."""
    dream = {name: entry["dream"][name] for name in ("mean", "std")}
    minutes = sum(entry["seconds"].values()) / 60
    kept = {name: entry[name] for name in ("round", "real_steps", "real", "open_loop_psnr")}
    return {**kept, "dream": dream, "minutes": minutes}


def _in_its_world(part: Part, progress: bool) -> Numbers:
    """Make another agent in the dream of the world that the loop kept, and score it alike."""
    loop = part.folder / _LOOP_FOLDER
    phases = Phases(
        out=part.folder / part.method,
        data=loop / "data",
        config=part.config,
        pixels=part.pixels,
        longest=None,  # the world knows
        progress=progress,
    )
    world = load(loop / WORLD)
    make_folder(phases.folder(0))
    world.save(phases.world(0))
    started = perf_counter()
    made = phases.improve(0, Share(updates=0, dream_steps=part.config.dream_steps))
    improved = perf_counter()
    scored = phases.keep(0)
    seconds = {"improve": improved - started, "keep": perf_counter() - improved}
    return {
        **{name: scored[name] for name in ("real", "dream", "gap", "evaluation_steps")},
        "real_steps": replace(part, method=LOOP).measured()["real_steps"],
        "dream_steps": made["dream_steps"],
        "minutes": sum(seconds.values()) / 60,
        "seconds": seconds,
        "world": world.fingerprint,
    }


def _baseline(part: Part, progress: bool) -> Numbers:
    """Train and score SB3's PPO with a CNN, which sees the same frames but no world."""
    config, started = part.config, perf_counter()
    steps = BASELINES[part.method] * config.real_steps
    model = train_baseline(part.pixels, steps, seed=config.seed, progress=progress)
    trained = perf_counter()
    seeds = range(FINAL_SEED, FINAL_SEED + config.final_episodes)
    played = evaluate_baseline(model, part.pixels, seeds, progress=progress)
    seconds = {"train": trained - started, "evaluate": perf_counter() - trained}
    decisions = sum(result.decisions for result in played) / len(played)
    return {
        "real": {**(spread([r.episode_return for r in played]) or {}), "decisions": decisions},
        "dream": None,
        "gap": None,
        "real_steps": model.num_timesteps * part.pixels.action_repeat,
        "evaluation_steps": sum(result.real_steps for result in played),
        "dream_steps": 0,
        "minutes": sum(seconds.values()) / 60,
        "seconds": seconds,
    }
