"""What the agents' benchmark leaves: all its parts in one file, a table, and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from srvp_world.agents.journal import Numbers, first_difference
from srvp_world.agents.phases import FINAL_SEED
from srvp_world.benchmark.agent_parts import BASELINES, LABELS, LOOP, file_name, read_part
from srvp_world.benchmark.agent_plots import plot_gaps
from srvp_world.benchmark.learning_plots import plot_learning_curves
from srvp_world.data.files import write_atomically
from srvp_world.errors import DataError
from srvp_world.results import write_results

RESULTS, TABLE = "results.json", "table.md"
DEFINITIONS = {
    "real": "returns of whole real episodes of the same seeds for all methods, by the likeliest "
    "action or the best plan; nothing is learnt or chosen from them",
    "dream": "returns of dreams that begin where real episodes began and last as long at most",
    "world": "that of an environment and a seed, which all methods share: of the round that the "
    "loop kept, the `last`, or the `best` in the rounds' own evaluations (see `keep`)",
    "real_steps": "that worlds, or the CNN, were learnt from",
    "evaluation_steps": "real steps of evaluations, from which nothing is learnt; with `keep` "
    "best, those of rounds choose what is kept",
    "dream_steps": "that agents learnt from, of all rounds",
    "minutes": "of the loop: collecting, fitting, improving and scoring, all rounds; of other "
    "methods in its world: what comes on top; of the CNN: training and scoring",
    "random": "returns of the random play that the loop begins with",
}


def write_report(out: Path) -> Numbers:
    """Gather all parts that lie in a folder: `results.json`, `table.md` and pictures.

    Returns:
        The numbers of `results.json`.

    Raises:
        DataError: If there is none, one is broken, or they do not belong together.
        OutputError: If the folder cannot be written.
    """
    parts = [read_part(path) for path in sorted(out.glob("*/seed*/*.json"))]
    if not parts:
        raise DataError(f"{out} holds no results of agents: measure some first")
    by_env: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        by_env.setdefault(part["protocol"]["env"]["env_id"], []).append(part)
    for env_id, found in by_env.items():
        _check_alike(env_id, found)
    environments = {env_id: _environment(found) for env_id, found in by_env.items()}
    hours = sum(part["numbers"]["minutes"] for part in parts) / 60
    numbers = {"environments": environments, "hours": hours}
    write_results(
        out / RESULTS,
        numbers,
        command=_command(environments),
        protocol=_protocol(by_env),
        seed=None,
        device="cpu",  # of gathering; `measured_on` tells where parts were measured
    )
    write_atomically(out / TABLE, (agents_table(numbers) + "\n").encode())
    for env_id, scores in environments.items():
        name = file_name(env_id)
        plot_learning_curves(env_id, scores, out / f"curves-{name}.png")
        pairs = _pairs(scores["methods"])
        if pairs:
            plot_gaps(pairs, out / f"dream-and-reality-{name}.png")
    return numbers


def agents_table(numbers: Numbers) -> str:
    """Lay the numbers of `results.json` out in Markdown."""
    heads = ("environment", "method", "real steps", "dream steps", "real return of each seed")
    lines = [_row((*heads, "mean", "in the dream", "minutes")), "|---" * 8 + "|"]
    for env_id, found in numbers["environments"].items():
        methods = found["methods"]
        loop = methods.get(LOOP)
        for method, scores in methods.items():
            seeds = scores["seeds"].values()
            minutes = f"{scores['minutes']:.1f}"
            if loop is not None and method not in (LOOP, *BASELINES):
                minutes = f"{loop['minutes']:.1f} + {minutes}"
            steps, dreamt = (
                f"{max(part[name] for part in seeds):,}" for name in ("real_steps", "dream_steps")
            )
            each = ", ".join(f"{part['real']['mean']:.1f}" for part in seeds)
            dream = "-" if scores["dream"] is None else f"{scores['dream']:.1f}"
            mean = f"{scores['real']:.1f}"
            lines.append(_row((env_id, LABELS[method], steps, dreamt, each, mean, dream, minutes)))
        if found["random"] is not None:
            each = ", ".join(f"{value:.1f}" for value in found["random"]["seeds"].values())
            random = f"{found['random']['mean']:.1f}"
            lines.append(_row((env_id, "random play", "-", "-", each, random, "-", "-")))
    return "\n".join([*lines, "", f"{numbers['hours']:.1f} hours in all"])


def _check_alike(env_id: str, parts: Sequence[dict[str, Any]]) -> None:
    """Refuse to put means of what was not done alike, or in different worlds, into one table."""
    worlds: dict[int, str] = {}
    abouts: dict[str, dict[str, Any]] = {}
    for part in parts:
        about, numbers = part["protocol"], part["numbers"]
        method, seed = about["method"], about["config"]["seed"]
        plain = {"env": about["env"], "config": {**about["config"], "seed": None}}
        same = first_difference(abouts.setdefault(method, plain), plain) is None
        if method not in BASELINES:
            same = same and worlds.setdefault(seed, numbers["world"]) == numbers["world"]
        if not same:
            raise DataError(
                f"{method} of {env_id}, seed {seed}, was measured in another way or world than "
                "what lies beside it: delete its file, and measure it again"
            )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _environment(parts: Sequence[dict[str, Any]]) -> Numbers:
    """Put the parts of an environment in order: methods, and seeds below them."""
    methods: dict[str, Numbers] = {}
    for method in LABELS:
        seeds = {
            str(part["protocol"]["config"]["seed"]): {
                **part["numbers"],
                "torch_threads": part["machine"]["torch_threads"],
            }
            for part in sorted(parts, key=lambda part: int(part["protocol"]["config"]["seed"]))
            if part["protocol"]["method"] == method
        }
        if seeds:
            means = [part["real"]["mean"] for part in seeds.values()]
            dreams = [part["dream"]["mean"] for part in seeds.values() if _dreamt(part)]
            methods[method] = {
                "real": float(np.mean(means)),
                "real_std_of_seeds": float(np.std(means)),
                "dream": float(np.mean(dreams)) if dreams else None,
                "minutes": float(np.mean([part["minutes"] for part in seeds.values()])),
                "seeds": seeds,
            }
    return {"methods": methods, "random": _random(methods.get(LOOP))}


def _random(loop: Numbers | None) -> Numbers | None:
    """Give the returns of random play, which the loops begin with; None where no episode ended."""
    seeds = {} if loop is None else loop["seeds"]
    means = {seed: part["random"]["mean"] for seed, part in seeds.items() if part["random"]}
    return {"mean": float(np.mean([*means.values()])), "seeds": means} if means else None


def _pairs(methods: Numbers) -> dict[str, list[tuple[float, float]]]:
    """Give real and dream returns of all that acted in a world: each round's agent, then others."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for method, scores in methods.items():
        for part in scores["seeds"].values():
            each = [_pair(entry) for entry in (part, *part.get("rounds", ())) if _dreamt(entry)]
            if each:
                pairs.setdefault(LABELS[method], []).extend(each)
    return pairs


def _dreamt(entry: Numbers) -> bool:
    """Say whether an agent was scored in a dream, and did not make it diverge."""
    return entry["dream"] is not None and entry["dream"]["mean"] is not None


def _pair(entry: Numbers) -> tuple[float, float]:
    return entry["real"]["mean"], entry["dream"]["mean"]


def _command(environments: Numbers) -> str:
    """Give what measures again what was found, wherever it lies."""
    methods = {method: None for found in environments.values() for method in found["methods"]}
    kinds = [method for method in methods if method not in BASELINES]

    def seeds(of: Sequence[str]) -> int:
        counts = [
            len(found["methods"].get(method, {"seeds": ()})["seeds"])
            for found in environments.values()
            for method in of
        ]
        return max(counts, default=0)

    return (
        f"srvp-world bench agents --env {' '.join(environments)} --methods {' '.join(kinds)} "
        f"--seeds {seeds(kinds)} --baseline-seeds {seeds([*BASELINES])} --out FOLDER"
    )


def _protocol(by_env: dict[str, list[dict[str, Any]]]) -> Numbers:
    """Say how everything was measured, and on what."""
    environments: dict[str, Numbers] = {}
    for env_id, parts in by_env.items():
        environments[env_id] = {"pixels": parts[0]["protocol"]["env"]}
        for about in (part["protocol"] for part in parts):
            environments[env_id].setdefault(about["method"], _own(about))
    measured_on: list[Numbers] = []
    for part in (part for parts in by_env.values() for part in parts):
        machine = {"machine": part["machine"], "versions": part["versions"]}
        measured_on += [] if machine in measured_on else [machine]
    return {
        "definitions": DEFINITIONS,
        "evaluation_seeds": f"{FINAL_SEED}+i",
        "environments": environments,
        "measured_on": measured_on,
    }


def _own(about: Numbers) -> Numbers:
    """Give what a method's configuration has that the loop's does not say already."""
    config = about["config"]
    if about["method"] in (LOOP, *BASELINES):
        return {name: value for name, value in config.items() if name != "seed"}
    return {name: config[name] for name in ("settings", "dream_steps")}
