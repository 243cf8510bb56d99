"""`srvp-world agent`: from a Gymnasium id to an agent that was trained in imagination."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands.parser import Parser, add_config_flags, json_object, overridden
from srvp_world.commands.verb import Verb, silenced
from srvp_world.errors import ConfigError

if TYPE_CHECKING:
    from srvp_world.agents.dyna import DynaConfig, DynaResult
    from srvp_world.config import PixelConfig

PIXELS = ("frame_size", "channels", "action_repeat", "crop", "env_kwargs", "vector")
COLLECTING = (  # which offline nothing is done with
    "real_steps",
    "rounds",
    "first_share",
    "first_policy",
    "explore",
    "max_transitions",
    "later_updates",
    "later_learning_rate",
)
_OWN = ("seed", "keep")  # names that mean something else for a fit


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    from srvp_world.agents.dyna_config import AGENTS
    from srvp_world.agents.presets import AGENT_PRESETS, agent_preset

    # Environment and agent decide on the defaults that help shows, so they are looked up first.
    name = next((argument for argument in arguments if argument in AGENT_PRESETS), "")
    preset = agent_preset(name)
    agent = next((argument for argument in arguments if argument in AGENTS), preset.config.agent)
    config = preset.with_agent(agent)
    title = name or "any environment"
    parser.usage = f"{parser.prog} ENV_ID --out RUN [options]"  # there are more than one can list
    add = parser.add_argument
    data = "left out with --data that know theirs"
    add("env_id", nargs="?", metavar="ENV_ID", help=f"Gymnasium id; module:Name-v0; {data}")
    add("--out", type=Path, required=True, metavar="RUN", help="run folder, new or to go on with")
    offline = "learn from this data set alone, and collect nothing"
    add("--data", type=Path, metavar="FOLDER", help=offline)
    add("--agent", help=f"{', '.join(AGENTS)} [{preset.config.agent}]")
    settings = 'of the agent, such as \'{"gamma": 0.95, "horizon": 60}\' [its own]'
    add("--settings", metavar="JSON", help=settings)
    add("--minutes", type=float, metavar="M", help="wall time, over all starts [no limit]")
    bound = "keep about N decisions, the latest [all]"
    add("--max-transitions", type=int, metavar="N", help=bound)
    _add_pixels(parser, preset.pixels)
    add_config_flags(parser, f"the loop ({title})", config, skip=("agent",))
    train, model = config.train, config.model
    add_config_flags(parser, f"training of the first round ({title})", train, skip=_OWN)
    follows_data = (*PIXELS, "vector_dim", "reward", "continuation")
    add_config_flags(parser, f"model ({title})", model, skip=follows_data)
    add_config_flags(parser, f"objective ({title})", model.objective)


def _add_pixels(parser: Parser, pixels: "PixelConfig") -> None:
    """Add what `collect` has, with the defaults of an environment."""
    add = parser.add_argument_group("the environment").add_argument
    size = f"height and width of a frame: 32, 64 or 128 [{pixels.frame_size}]"
    add("--size", "--frame-size", dest="frame_size", type=int, metavar="N", help=size)
    add("--channels", type=int, help=f"1 for grey, 3 for colour [{pixels.channels}]")
    repeat = f"real steps per decision [{pixels.action_repeat}]"
    add("--action-repeat", type=int, metavar="N", help=repeat)
    crop = ("TOP", "LEFT", "HEIGHT", "WIDTH")
    part = f"part of the image to keep [{pixels.crop or 'all'}]"
    add("--crop", type=int, nargs=4, metavar=crop, help=part)
    add("--env-kwargs", metavar="JSON", help="arguments of gym.make, such as '{\"g\": 9.81}'")
    vector = "keep the env's own observation, as a vector beside the frames"
    add("--vector", action="store_true", default=None, help=vector)


def _run(args: Namespace, command: str) -> None:
    from srvp_world.agents.dyna import run_dyna, run_offline
    from srvp_world.benchmark.agent_plots import draw_agent

    how: dict[str, Any] = {
        "command": command,
        "on_round": _tell_round,
        "draw": draw_agent,
        "progress": not args.quiet,
    }
    with silenced("srvp_world.train.fit"):  # after Ctrl-C, `_kept` says more
        if args.data is None:
            if args.env_id is None:
                raise ConfigError("name an environment, or data with --data FOLDER")
            pixels = _pixels(args)
            config = _config(args, pixels.env_id)
            result = run_dyna(pixels, args.out, config, **how)
        else:
            env, config = _pixels_of_data(args), _config(args, _id_of(args))
            result = run_offline(args.data, args.out, config, env=env, **how)
    _tell_result(result, config.minutes)


def _tell_result(result: "DynaResult", minutes: float | None) -> None:
    """Print what came of a run, and what to do next."""
    numbers, folder = result.numbers, result.out
    real, dream = numbers["real_return"], numbers["dream_return"]
    scored = f"{dream['mean']:.1f} ± {dream['std']:.1f} in the dream"
    if real is not None:
        played = f"{len(real['each'])} episodes"
        scored = f"{real['mean']:.1f} ± {real['std']:.1f} in reality ({played}), {scored}"
    print(f"{folder}: round {numbers['kept_round']}, return {scored}, {_spent(numbers)}")
    if minutes is not None and numbers["minutes"] > minutes:
        reason = ""
        if len(numbers["rounds"]) == 1:
            reason = ": one round and the scores of its agent are never left out"
        print(f"it took {numbers['minutes']:.1f} minutes, more than {minutes:g}{reason}")
    if numbers["reality"] is not None:
        print(f"not played in reality: {numbers['reality']}")
    if result.agent.suffix == ".safetensors" and real is not None:
        print(f"next: srvp-world evaluate {result.world} {result.agent}")


def _spent(numbers: dict[str, Any]) -> str:
    return f"{numbers['real_steps']:,} real steps, {numbers['minutes']:.1f} minutes"


def _tell_round(numbers: dict[str, Any]) -> None:
    """Print one line a round."""
    real, dream, seconds = numbers["real"], numbers["dream"], numbers["seconds"]
    reality = "" if real is None else f"reality {real['mean']:.1f} ± {real['std']:.1f}, "
    psnr = numbers["open_loop_psnr"]
    picture = "" if psnr is None else f", open loop {psnr:.1f} dB"
    print(
        f"round {numbers['round']}: {numbers['real_steps']:,} real steps, return in {reality}"
        f"dream {dream['mean']:.1f} ± {dream['std']:.1f}{picture}, "
        f"{sum(seconds.values()) / 60:.1f} minutes",
        flush=True,
    )


def _pixels(args: Namespace) -> "PixelConfig":
    """Put the preset of an environment and flags together."""
    from srvp_world.agents.presets import agent_preset

    return replace(agent_preset(args.env_id).pixels, **_given_pixels(args))


def _given_pixels(args: Namespace) -> dict[str, Any]:
    """Give the fields of `PixelConfig` for which there are flags."""
    values = {name: getattr(args, name) for name in PIXELS}
    values["crop"] = args.crop and tuple(args.crop)
    values["env_kwargs"] = json_object("--env-kwargs", args.env_kwargs)
    return {name: value for name, value in values.items() if value is not None}


def _id_of(args: Namespace) -> str:
    """Give the id of the environment of a data set, as far as anyone knows it."""
    from srvp_world.data.info import read_info

    pixels = read_info(args.data).pixels
    return args.env_id or (pixels.env_id if pixels else "")


def _pixels_of_data(args: Namespace) -> "PixelConfig | None":
    """Find where to play in what was learnt from data: theirs, or one that is named.

    Nobody but the user knows how data that do not know their environment were seen; presets say how
    others are.
    """
    from srvp_world.config import PixelConfig
    from srvp_world.data.info import read_info

    for name in COLLECTING:
        if getattr(args, name, None) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} is for collecting: leave it out, or --data")
    info, given = read_info(args.data), _given_pixels(args)
    others = [f"--{name.replace('_', '-')}" for name in given]
    if info.pixels is not None:
        if args.env_id not in (None, info.pixels.env_id):
            others.append(args.env_id)
        if others:
            raise ConfigError(
                f"the data know that they are of {info.pixels.env_id} and how it is seen: leave "
                f"{others[0]} out"
            )
        return None
    if args.env_id is None:
        if others:
            raise ConfigError(f"{others[0]} is of an environment: name one, or leave it out")
        return None
    shown = {"frame_size": info.frame_size, "channels": info.channels}
    for name, value in shown.items():
        if given.get(name, value) != value:
            raise ConfigError(
                f"--{name.replace('_', '-')} is {given[name]}, but the data have {value}: leave it "
                "out"
            )
    return PixelConfig(env_id=args.env_id, **{**given, **shown})


def _config(args: Namespace, env_id: str) -> "DynaConfig":
    """Put the preset of an environment and flags together."""
    from srvp_world.agents.presets import agent_preset

    preset = agent_preset(env_id)
    base = preset.with_agent(args.agent or preset.config.agent)
    for name in ("minutes", "max_transitions"):
        if getattr(args, name) is not None:
            base = replace(base, **{name: getattr(args, name)})
    settings = json_object("--settings", args.settings) or {}
    if "iterations" in args and "decay" not in args:
        args.decay = min(base.train.decay, args.iterations)  # short runs decay all the way
    flags = {name: value for name, value in vars(args).items() if name not in _NOT_FIELDS}
    of_fit = {name: value for name, value in flags.items() if name not in _OWN}
    objective = overridden(base.model.objective, Namespace(**flags))
    model = replace(overridden(base.model, Namespace(**of_fit)), objective=objective)
    loop = overridden(base, Namespace(**flags))
    return replace(
        loop,
        model=model,
        train=overridden(base.train, Namespace(**of_fit)),
        settings={**base.settings, **settings},
    )


# Arguments that share the name of a field, and are put together by hand.
_NOT_FIELDS = ("agent", "settings", "minutes", "max_transitions", *PIXELS)


def _kept(args: Namespace, command: str) -> str:
    from srvp_world.agents.journal import JOURNAL

    if not (args.out / JOURNAL).exists():
        return "nothing was written; start again with the same command"
    return f"{args.out} keeps what was finished; go on with `{command}`"


AGENT = Verb(
    summary="Train an agent in the dream of a world that it learns, and score it in reality.",
    examples=(
        "Pendulum-v1 --out runs/pendulum",
        "CartPole-v1 --out runs/cartpole --agent actor-critic --seed 1",
        "Pendulum-v1 --out runs/plan --agent cem --settings '{\"horizon\": 25}'",
        "Acrobot-v1 --out runs/acrobot --real-steps 20000 --minutes 30 --action-repeat 2",
        "ale_py:ALE/Pong-v5 --out runs/pong --channels 3 --crop 34 0 160 160 "
        "--env-kwargs '{\"max_episode_steps\": 4000}'",
        "--data data/pendulum --out runs/offline",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
