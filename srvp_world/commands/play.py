"""`srvp-world play`: drive a dream with the keyboard."""

import secrets
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import Verb
from srvp_world.errors import ConfigError, OutputError

if TYPE_CHECKING:
    import gymnasium as gym

    from srvp_world.agents.policy import LatentPolicy
    from srvp_world.checkpoint import World
    from srvp_world.envs.play import Session
    from srvp_world.envs.policies import Policy

WINDOW = 512  # pixels that a frame is wide, about, unless --scale says otherwise
LARGEST = 4096
DREAM_FLAGS = ("start", "horizon", "temperature", "actions")
KEYS = """keys (those of a world are told when it starts):
  the real environment's own where it has some, otherwise
  choices           digits; the first ones arrows or a, s, d, w, too
  a box             a pair for each component: left and right, down and up, a and d, s and w,
                    j and l, k and i, f and h
  choices together  one for each value but the first: left, right, down, up, a, d, s, w, ...
  p or space        pause                      e or .     one step while paused
  r or return       begin anew                 m or tab   person or policy
  g                 start or stop a GIF        escape     quit"""


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    parser.epilog = f"{KEYS}\n\n{parser.epilog}"
    add = parser.add_argument
    add("world", metavar="WORLD", help="world file, or name of a world that ships")
    policy = "policy file, for the world's features [acts at random]"
    add("--policy", type=Path, metavar="FILE", help=policy)
    add("--real", action="store_true", help="play the world's real environment instead")
    starts = ("data", "first", "prior")
    add("--start", choices=starts, help="of dreams: any frame seen, first ones, or drawn [data]")
    add("--horizon", type=int, metavar="N", help="steps of a dream [a real episode's]")
    add("--temperature", type=float, help="of the chance in a dream [1.0]")
    actions = "the world's; where it has none, none lets it play and noise steers the chance"
    add("--actions", choices=("world", "none", "noise"), help=actions)
    add("--fps", type=float, help="steps per second [the world's]")
    scale = f"window pixels per pixel [such that a frame is about {WINDOW} wide]"
    add("--scale", type=int, metavar="N", help=scale)
    add("--out", type=Path, default=Path("play"), help="folder of recordings [%(default)s]")
    add("--seed", type=int, help="of the session [another one each time]")
    add("--device", default="cpu", help="where to dream, such as cuda [%(default)s]")


def _run(args: Namespace, command: str) -> None:
    from srvp_world.checkpoint import load
    from srvp_world.envs.play import check_screen, play

    _check(args)
    check_screen()
    world = load(args.world, args.device)
    policy = _policy(args, world)
    session = _session(args, world, policy)
    with session:
        _tell_keys(args, session)
        try:
            play(session)
        finally:
            _tell_end(session)


def _check(args: Namespace) -> None:
    """Refuse what can be seen before any file is opened."""
    if args.fps is not None and not 0 < args.fps <= 1000:
        raise ConfigError(f"--fps must be above 0 and at most 1000, got {args.fps:g}")
    if args.scale is not None and args.scale < 1:
        raise ConfigError(f"--scale must be at least 1, got {args.scale}")
    if args.out.exists() and not args.out.is_dir():
        raise OutputError(f"--out {args.out} is no folder: choose another name")
    for name in DREAM_FLAGS:
        if args.real and getattr(args, name) is not None:
            raise ConfigError(f"--{name} is for dreams: leave it out, or --real")
    if args.policy is not None and args.policy.suffix == ".json":
        raise ConfigError(
            f"{args.policy} is a planner, which needs the world's state, but play shows features "
            "alone: give a policy file, or `srvp-world evaluate` the planner"
        )


def _policy(args: Namespace, world: "World") -> "Policy | None":
    """Read the policy; without a file the session acts at random where it is the policy's turn."""
    from srvp_world.agents.policy import LatentPolicy

    if args.policy is None:
        return None
    if world.action is None:
        raise ConfigError(f"world {args.world} takes no actions: leave out --policy")
    return _OnFeatures(LatentPolicy.load(args.policy, world))


class _OnFeatures:
    """Acts on the features of a world, by the likeliest action."""

    def __init__(self, policy: "LatentPolicy"):
        self._policy = policy

    def reset(self, seed: int) -> None:
        """Nothing is drawn and nothing remembered."""

    def act(self, shown: Any) -> Any:
        """Choose an action on features (d,), which stand where others see a frame."""
        import torch

        action = self._policy.choose(torch.from_numpy(shown)[None])[0].numpy()
        return action[()]  # a NumPy scalar where the action has no axes


def _session(args: Namespace, world: "World", policy: "Policy | None") -> "Session":
    from srvp_world.envs.keys import world_keyboard
    from srvp_world.envs.play import PlaySettings, Session
    from srvp_world.envs.policies import SmoothRandomPolicy
    from srvp_world.spaces import ActionSpec

    size = world.model.config.frame_size
    scale = max(1, WINDOW // size) if args.scale is None else args.scale
    if scale * size > LARGEST:
        most = LARGEST // size
        raise ConfigError(f"--scale {scale} makes the window too large: use at most {most}")
    env = _env(args, world)
    if policy is None and (world.action is not None or args.actions == "noise"):
        policy = SmoothRandomPolicy(ActionSpec.from_space(env.action_space))
    settings = PlaySettings(
        title=Path(args.world).stem + "-real" * args.real,
        out=args.out,
        seed=secrets.randbelow(2**31) if args.seed is None else args.seed,
        fps=world.fps if args.fps is None else args.fps,
        scale=scale,
    )
    return Session(env, world_keyboard(world, env.action_space), settings, policy)


def _env(args: Namespace, world: "World") -> "gym.Env[Any, Any]":
    """Open the dream, or the real side; both show features where a policy wants to see them."""
    from srvp_world.envs.latent import make_real_env
    from srvp_world.envs.single import DreamEnv

    if args.real:
        return make_real_env(world, "pixels" if args.policy is None else "latent")
    given = {name: getattr(args, name) for name in DREAM_FLAGS}
    options = {name: value for name, value in given.items() if value is not None}
    # Nothing need be decoded to step, and the policy sees what it was trained on.
    return DreamEnv(world=world, obs="latent", render_mode="rgb_array", **options)


def _tell_keys(args: Namespace, session: "Session") -> None:
    from srvp_world.envs.keys import describe

    settings = session.settings
    what = "the real environment" if args.real else "a dream"
    print(f"{settings.title}: {what}, {settings.fps:g} steps per second, --seed {settings.seed}")
    print(describe(session.keyboard), flush=True)


def _tell_end(session: "Session") -> None:
    """Say how the episodes went, and where recordings lie."""
    if returns := session.returns:
        mean = sum(returns) / len(returns)
        print(f"episodes that ended: {len(returns)}, mean return {mean:.1f}")
    for path in session.recordings:
        print(f"recorded {path}")


def _kept(args: Namespace, command: str) -> str:
    count = len(list(args.out.glob("*.gif")))
    return f"recordings in {args.out}: {count}" if count else "nothing was recorded"


PLAY = Verb(
    summary="Drive a dream with the keyboard.",
    examples=(
        "pendulum",
        "world.safetensors --policy agent.safetensors --temperature 0.5 --start first",
        "pendulum --real --seed 3 --fps 10",
        "world.safetensors --actions noise --horizon 200 --scale 4 --out recordings",
    ),
    configure=_configure,
    run=_run,
    kept=_kept,
)
