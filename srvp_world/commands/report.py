"""`srvp-world report`: what a world is worth, measured on real episodes."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, nothing_kept, world_file
from srvp_world.errors import ConfigError, DataError, OutputError

if TYPE_CHECKING:
    from srvp_world.checkpoint import World
    from srvp_world.data.dataset import Dataset
    from srvp_world.envs.policies import PolicyFactory

PAGE = "report.png"
FILM = "open_loop.gif"
STRIP = "open_loop.png"
EPISODES = 16
SEED = 1_000_000  # far from the seeds that data for training begin with by default
POLICY = "smooth-random"


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add("world", metavar="WORLD", help="world file, or name of a world that ships")
    fresh = "fresh ones from the world's own environment"
    add("--data", type=Path, metavar="FOLDER", help=f"episodes it was not trained on [{fresh}]")
    add("--episodes", type=int, metavar="N", help=f"how many, the first of --data [{EPISODES}]")
    add("--policy", help=f"of fresh ones: random, smooth-random or a file [{POLICY}]")
    add("--out", type=Path, metavar="FOLDER", help="where to leave results [beside the world]")
    seed = f"of futures, and of the first fresh episode, with those after it [{SEED}]"
    add("--seed", type=int, default=SEED, help=seed)
    add("--watched", type=int, default=10, metavar="N", help="frames before a dream [%(default)s]")
    add("--horizon", type=int, default=40, metavar="N", help="frames of a dream [%(default)s]")
    add("--samples", type=int, default=8, metavar="N", help="futures of each [%(default)s]")
    add("--device", default="cpu", help="where to compute, such as cuda [%(default)s]")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.benchmark.report import ReportConfig, measure
    from srvp_world.benchmark.report_film import draw_strip, write_film
    from srvp_world.benchmark.report_plots import draw_page
    from srvp_world.benchmark.report_table import DEFINITIONS, report_table
    from srvp_world.checkpoint import load
    from srvp_world.data.files import make_folder
    from srvp_world.results import write_results

    out: Path = args.out or _beside(args.world)
    _check(args, out)
    world = load(args.world, args.device)
    config = ReportConfig(
        watched=args.watched, horizon=args.horizon, samples=args.samples, seed=args.seed
    )
    with _episodes(args, world) as (data, source):
        report = measure(world, data, config, progress=not args.quiet)
    make_folder(out)
    protocol = {
        "world": world.fingerprint,
        "episodes": source,
        "watched": config.watched,
        "horizon": config.horizon,
        "samples": config.samples,
        "definitions": DEFINITIONS,
        "left_out": report.left_out,
    }
    draw_page(report, f"{Path(args.world).stem} on {source}", out / PAGE)
    write_film(report, world.fps, out / FILM)
    draw_strip(report, out / STRIP)
    write_results(
        out / RESULTS,
        report.numbers,
        command=command,
        protocol=protocol,
        seed=args.seed,
        device=args.device,
    )
    print(report_table(report.numbers, report.left_out))
    print(f"\n{source}\n{out}: see {PAGE}, {FILM}, {STRIP} and {RESULTS}")


def _check(args: Namespace, out: Path) -> None:
    """Refuse what makes no sense before anything is opened."""
    for name in ("episodes", "watched", "horizon", "samples"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, got {value}")
    if args.data is not None and args.policy is not None:
        raise ConfigError("--policy plays fresh episodes, and --data are there: leave one out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} already holds something: choose another folder with --out")


def _beside(world: str) -> Path:
    """Choose where results go: beside the world, but not into the installed package."""
    from srvp_world.checkpoint import SHIPPED

    file = world_file(world)
    return Path(f"report-{file.stem}") if file.parent == SHIPPED else file.parent / "report"


@contextmanager
def _episodes(args: Namespace, world: "World") -> "Iterator[tuple[Dataset, str]]":
    """Open episodes, or play them into a folder that is gone afterwards; say what they are."""
    if args.data is not None:
        data = _first(_open(args.data, args.quiet), args.episodes)
        yield data, f"{len(data.episodes)} episodes of {args.data}"
        return
    with TemporaryDirectory() as folder:
        yield _play(args, world, Path(folder) / "episodes")


def _open(folder: Path, quiet: bool) -> "Dataset":
    from srvp_world.data.check import check_values
    from srvp_world.data.dataset import Dataset

    data = Dataset.open(folder)
    check_values(data, progress=not quiet)
    return data


def _first(data: "Dataset", wanted: int | None) -> "Dataset":
    """Take the first episodes, with all of their parts."""
    names = data.episodes
    if wanted is not None and wanted > len(names):
        raise DataError(
            f"{data.folder} holds {len(names)} episodes, but {wanted} are wanted: "
            f"give --episodes {len(names)}"
        )
    chosen = set(names[: wanted or EPISODES])
    return replace(data, records=tuple(r for r in data.records if r.episode in chosen))


def _play(args: Namespace, world: "World", folder: Path) -> "tuple[Dataset, str]":
    """Record fresh episodes with the world's own view of its environment."""
    from srvp_world.data.dataset import Dataset
    from srvp_world.envs.collect import collect

    if world.pixels is None:
        raise ConfigError(
            f"{args.world} was learnt from video and has no environment to play in: give --data "
            "FOLDER with episodes"
        )
    episodes, policy = args.episodes or EPISODES, args.policy or POLICY
    collect(
        world.pixels,
        folder,
        _policy(policy, args.world, world),
        episodes=episodes,
        workers=min(2, episodes),
        seed=args.seed,
        progress=not args.quiet,
    )
    source = f"{episodes} fresh episodes of {world.pixels.env_id}, seeds {args.seed} to "
    return Dataset.open(folder), f"{source}{args.seed + episodes - 1}, policy {policy}"


def _policy(name: str, world_name: str, world: "World") -> "PolicyFactory":
    """Find a random policy, or one of the world's own in a file."""
    from srvp_world.agents.saved import saved_agent
    from srvp_world.envs.policies import policy_factory

    path = Path(name)
    if path.suffix not in (".safetensors", ".json") and not path.exists():
        return policy_factory(name)
    agent = saved_agent(world_file(world_name), path)
    if world.action is not None:
        agent(world.action)  # so that its mistakes show before anything is played
    return agent


REPORT = Verb(
    summary="Measure a world on real episodes: open loop, rewards, ends, actions, filter.",
    examples=(
        "pendulum",
        "runs/demo/world.safetensors --policy runs/demo/policies/final.safetensors",
        "runs/own/world.safetensors --data data/own/test --watched 5 --horizon 20",
        "pendulum --episodes 64 --samples 20 --device cuda --out runs/report",
    ),
    configure=_configure,
    run=_run,
    kept=nothing_kept,
)
