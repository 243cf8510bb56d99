"""`srvp-world bench`: how fast this machine is, and what agents and predictions are worth."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands import bench_video
from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, nothing_kept
from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from srvp_world.agents.journal import Numbers
    from srvp_world.benchmark.agent_parts import Part
    from srvp_world.checkpoint import World

WHAT = ("speed", "dream", "agents", bench_video.WHAT)
FOR_SPEED = ("world", "preset")
FOR_AGENTS = ("env", "methods", "seeds", "baseline_seeds", "report_only")


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    if bench_video.WHAT in arguments[:1]:
        bench_video.configure_video(parser)
        return
    parser.usage = f"{parser.prog} [WHAT] [options]"
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        default="speed",
        metavar="WHAT",
        help="speed: training and dreams of many sizes; dream: what the env layer costs beside the "
        "bare model, and how much faster than the real environment it is; agents: what agents that "
        "learn in dreams are worth in reality, which may take hours, and goes on with the same "
        "command; video: published numbers of video prediction beside those of `srvp-world "
        "evaluate` (see `bench video --help`) [%(default)s]",
    )
    add("--world", help="world to dream in, for speed and dream, a file or a name [pendulum]")
    add("--preset", help="what to train, for speed [control]")
    add("--device", default="cpu", help="where to compute, such as cuda [%(default)s]")
    add("--threads", type=int, metavar="N", help="CPU threads of torch [torch's own choice]")
    add("--out", type=Path, metavar="FOLDER", help="where to leave results [nowhere]")
    add = parser.add_argument_group("agents").add_argument
    add("--env", nargs="+", metavar="ENV_ID", help="Gymnasium ids [Pendulum-v1 CartPole-v1]")
    methods = "kinds of agents, as `srvp-world agent` has them [ppo actor-critic cem]"
    add("--methods", nargs="+", metavar="AGENT", help=methods)
    add("--seeds", type=int, metavar="N", help="runs for each environment [3]")
    baselines = "runs of SB3's PPO with a CNN, for each of two budgets of real steps [1]"
    add("--baseline-seeds", type=int, metavar="N", help=baselines)
    only = "measure nothing: gather what lies in --out"
    add("--report-only", action="store_true", default=None, help=only)


def _run(args: Namespace, command: str) -> None:
    if hasattr(args, "results"):
        bench_video.run_video(args, command)
    else:
        _measure(args, command)


def _measure(args: Namespace, command: str) -> None:
    import torch

    _check(args)
    before = torch.get_num_threads()
    torch.set_num_threads(args.threads or before)
    try:
        if args.what == "agents":
            _agents(args)
        else:
            _machine(args, command)
    finally:
        torch.set_num_threads(before)


def _check(args: Namespace) -> None:
    if args.what not in WHAT:
        raise UnknownNameError(f"no benchmark {args.what!r}: {did_you_mean(args.what, WHAT)}")
    if args.what == bench_video.WHAT:
        raise ConfigError(
            "name the benchmark first, before options, as in `srvp-world bench video`"
        )
    if args.threads is not None and args.threads < 1:
        raise ConfigError(f"--threads must be at least 1, got {args.threads}")
    if args.what == "dream" and args.preset is not None:
        raise ConfigError("--preset is for speed, but dream trains nothing: leave it out")
    agents = args.what == "agents"
    for name in FOR_SPEED if agents else FOR_AGENTS:
        if getattr(args, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} is not for the benchmark {args.what!r}: leave it out")
    if agents and args.out is None:
        raise ConfigError("agents take long and leave many files: name a folder with --out")


def _agents(args: Namespace) -> None:
    from srvp_world.benchmark.agents import bench_agents
    from srvp_world.benchmark.agents_table import agents_table, write_report

    given = {
        "envs": args.env,
        "methods": args.methods,
        "seeds": args.seeds,
        "baseline_seeds": args.baseline_seeds,
    }
    if args.report_only:
        for name, value in given.items():
            if value is not None:
                flag = "--env" if name == "envs" else f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} is for measuring: leave it out, or --report-only")
        numbers = write_report(args.out)
    else:
        numbers = bench_agents(
            args.out,
            device=args.device,
            on_part=_tell_part,
            progress=not args.quiet,
            **{name: value for name, value in given.items() if value is not None},
        )
    print(agents_table(numbers))


def _tell_part(which: str, part: "Part", numbers: "Numbers") -> None:
    """Print one line a part."""
    real, dream = numbers["real"], numbers["dream"]
    imagined = "" if dream is None else f", {dream['mean']:.1f} ± {dream['std']:.1f} in the dream"
    print(
        f"part {which}: {part.pixels.env_id}, seed {part.config.seed}, {part.method}: "
        f"return {real['mean']:.1f} ± {real['std']:.1f} in reality{imagined}, "
        f"{numbers['real_steps']:,} real steps, {numbers['minutes']:.1f} minutes",
        flush=True,
    )


def _machine(args: Namespace, command: str) -> None:
    """Measure how fast this machine is."""
    from srvp_world.checkpoint import load
    from srvp_world.data.files import make_folder
    from srvp_world.results import write_results

    if args.out is not None:
        make_folder(args.out)
    world = load(args.world or "pendulum", args.device)
    numbers, protocol, shown = (_dream if args.what == "dream" else _speed)(world, args)
    if args.out is not None:
        write_results(
            args.out / RESULTS,
            numbers,
            command=command,
            protocol={**protocol, "world": world.fingerprint},
            seed=0,
            device=args.device,
        )
    print(shown)  # last, for whoever reads may have left


def _speed(world: "World", args: Namespace) -> tuple[Mapping[str, Any], Mapping[str, str], str]:
    from srvp_world.benchmark.speed import PRESET, PROTOCOL, measure_speed, table

    name = args.preset or PRESET
    numbers = measure_speed(world, preset_name=name, progress=not args.quiet)
    return numbers, PROTOCOL, table(numbers)


def _dream(world: "World", args: Namespace) -> tuple[Mapping[str, Any], Mapping[str, str], str]:
    from srvp_world.benchmark.dream import PROTOCOL, dream_table, measure_dream

    numbers = measure_dream(world, progress=not args.quiet)
    return numbers, PROTOCOL, dream_table(numbers)


def _kept(args: Namespace, command: str) -> str:
    if args.what != "agents" or args.out is None or not args.out.exists():
        return nothing_kept(args, command)
    return f"{args.out} keeps what was finished; go on with `{command}`"


BENCH = Verb(
    summary="Measure how fast this machine is and what agents are worth; gather video scores.",
    examples=(
        "",
        "--out runs/speed",
        "--preset smmnist",
        "dream",
        "dream --threads 1 --out runs/dream",
        "--world runs/pendulum/world.safetensors --device cuda",
        "agents --out runs/agents",
        "agents --env Pendulum-v1 --methods ppo sac mppi --seeds 1 --out runs/agents",
        "agents --report-only --out runs/agents",
        *bench_video.EXAMPLES,
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
