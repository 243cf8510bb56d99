"""`srvp-world predict`: futures of a clip as a film, a strip or arrays."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import Verb, nothing_kept
from srvp_world.errors import ConfigError, DataError, OutputError, SpaceError

if TYPE_CHECKING:
    import numpy as np

    from srvp_world.checkpoint import World
    from srvp_world.data.clip import Clip

WATCHED_AT_MOST = 64  # unless asked for more: about what worlds are trained on, and no hours
SAMPLES = 4
PANEL = 128  # pixels that a frame of a film should have at least


def _configure(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add("world", metavar="WORLD", help="world file, or name of a world that ships")
    clip = "video, folder of images, .npy, .npz, an episode file (.safetensors), or smmnist or "
    clip += "mmnist for a test clip of Moving MNIST, which --test-clip chooses"
    add("clip", type=Path, metavar="CLIP", help=clip)
    add("--out", type=Path, required=True, metavar="FILE", help="ends in .gif .mp4 .png or .npz")
    add("--horizon", type=int, default=30, metavar="N", help="steps to imagine [%(default)s]")
    add("--samples", type=int, metavar="N", help=f"futures [{SAMPLES}]")
    add("--mean", action="store_true", help="take every mean: one future, without chance")
    add("--temperature", type=float, default=1.0, help="of the chance [%(default)s]")
    substeps = "Euler steps, and frames shown, per imagined step; others than trained can change "
    substeps += "how things move [as trained, and 1 frame]"
    add("--substeps", type=int, metavar="N", help=substeps)
    conditioning = f"frames to watch; the rest is shown beside [all, the last {WATCHED_AT_MOST}]"
    add("--conditioning", type=int, metavar="N", help=conditioning)
    add("--test-clip", type=int, default=0, metavar="N", help="its number [%(default)s]")
    add("--start", type=int, default=0, metavar="N", help="first frame to use [%(default)s]")
    add("--every", type=int, default=1, metavar="N", help="use every Nth frame [%(default)s]")
    crop = ("TOP", "LEFT", "HEIGHT", "WIDTH")
    add("--crop", type=int, nargs=4, metavar=crop, help="part of the image to keep [all]")
    add("--fps", type=float, help="frames per second [such that time runs as in the world]")
    add("--scale", type=int, metavar="N", help=f"pixels per pixel [up to {PANEL}; strips: 1]")
    add("--seed", type=int, default=0, help="of the chance [%(default)s]")
    add("--device", default="cpu", help="where to compute, such as cuda [%(default)s]")


def _run(args: Namespace, command: str) -> None:
    import torch

    from srvp_world.checkpoint import load
    from srvp_world.data.files import make_folder
    from srvp_world.prediction import predict_clip

    _check(args)
    world = load(args.world, args.device)
    clip = _read(args, world)
    watched = _watched(args, world, clip)
    make_folder(args.out.parent)
    futures = predict_clip(
        world.model,
        clip.frames[:watched],
        args.horizon,
        samples=args.samples,
        substeps=args.substeps,
        actions=None if clip.actions is None else clip.actions[: watched - 1 + args.horizon],
        vector=None if clip.vector is None else clip.vector[:watched],
        episode_start=clip.begins_episode,
        sample=not args.mean,
        temperature=args.temperature,
        generator=torch.Generator(world.device).manual_seed(args.seed),
        progress=not args.quiet,
    )
    _write(args, world, clip, watched, futures)


def _check(args: Namespace) -> None:
    """Refuse what can be seen before any file is opened; fill in the number of futures."""
    from srvp_world.pictures import check_movie_path

    check_movie_path(args.out)
    if args.out.resolve() == args.clip.resolve():
        raise OutputError(f"--out {args.out} would overwrite the clip: choose another name")
    if args.mean and args.samples not in (None, 1):
        raise ConfigError(f"--mean leaves one future, not {args.samples}: leave out --samples")
    if args.samples is None:
        args.samples = 1 if args.mean else SAMPLES
    for name in ("horizon", "samples", "substeps", "conditioning", "scale"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, got {value}")
    if args.fps is not None and not 0 < args.fps <= 1000:
        raise ConfigError(f"--fps must be above 0 and at most 1000, got {args.fps:g}")


def _read(args: Namespace, world: "World") -> "Clip":
    """Read no more of the clip than is needed, in the world's format."""
    from srvp_world.data.clip import read_clip
    from srvp_world.data.frame_format import FrameFormat

    config = world.model.config
    crop = args.crop and tuple(args.crop)
    shown = args.horizon if world.action else 0  # what is imagined needs the clip's actions
    clip = read_clip(
        args.clip,
        FrameFormat(config.frame_size, config.channels, crop),
        number=args.test_clip,
        start=args.start,
        every=args.every,
        first=args.conditioning and args.conditioning + args.horizon,
        last=None if args.conditioning else WATCHED_AT_MOST + shown,
    )
    if not config.vector_dim:
        clip = clip._replace(vector=None)
    if world.action is None:
        return clip._replace(actions=None, begins_episode=False)
    if clip.actions is None:
        raise SpaceError(
            f"world {args.world} takes actions, and {args.clip} has none: give an episode file "
            "(.safetensors) that `srvp-world collect` recorded"
        )
    world.action.check(clip.actions, f"{args.clip}: actions")
    return clip


def _watched(args: Namespace, world: "World", clip: "Clip") -> int:
    """Say how many frames of the clip are watched; refuse a clip that is too short."""
    frames, least = len(clip.frames), world.model.config.content_frames
    imagined = args.horizon if world.action else 0
    watched: int = frames - imagined if args.conditioning is None else args.conditioning
    if watched > frames:
        raise DataError(
            f"{args.clip} has {frames} frames to use, fewer than --conditioning {watched}: use less"
        )
    if world.action and not 1 <= watched <= frames - imagined:
        raise DataError(
            f"{args.clip} has {frames - 1} actions from frame {args.start} on, too few to imagine "
            f"{args.horizon} steps after {max(watched, 1)} frames: use a smaller --horizon"
        )
    if watched < least and not clip.begins_episode:
        raise DataError(
            f"{args.clip}: the world must watch at least {least} frames, got {watched}: "
            "give a longer clip, or more with --conditioning"
        )
    return watched


def _write(
    args: Namespace, world: "World", clip: "Clip", watched: int, futures: "np.ndarray"
) -> None:
    """Write what the name of --out asks for, and say so."""
    import numpy as np

    from srvp_world.pictures import GIF_FPS, write_movie
    from srvp_world.prediction import panels

    times = args.substeps or 1
    fps = args.fps or float(world.fps * times)
    film = panels(futures, clip.frames, watched, times)
    strip = args.out.suffix == ".png"
    if strip:  # shows time as space, so no frame need be held
        given = 1 + (watched - 1) * times
        film = film[:, np.r_[0:given:times, given : film.shape[1]]]
    arrays = {
        "frames": futures,
        "clip": clip.frames,
        "fps": fps,
        "conditioning": watched,
        "frames_per_step": times,
        "substeps": args.substeps or world.model.config.substeps,
        "temperature": args.temperature,
        "mean": args.mean,
        "seed": args.seed,
        "world": world.fingerprint,
    }
    fitting = 1 if strip else max(1, PANEL // world.model.config.frame_size)
    write_movie(args.out, film, fps, scale=args.scale or fitting, arrays=arrays)
    _tell_changes(args, world, clip)
    slow = args.out.suffix == ".gif" and fps > GIF_FPS
    limit = f", of which a GIF can show {GIF_FPS}: choose .mp4 for the right speed" if slow else ""
    plural = "" if args.samples == 1 else "s"
    print(
        f"{args.out}: {args.samples} future{plural} of {args.horizon} steps after {watched} "
        f"watched frames, {film.shape[1]} frames at {fps:g} per second{limit}"
    )


def _tell_changes(args: Namespace, world: "World", clip: "Clip") -> None:
    """Say in one line how the clip's frames were made to fit."""
    size, channels = world.model.config.frame_size, world.model.config.channels
    height, width = args.crop[2:] if args.crop else clip.source_shape[:2]
    changes = []
    if (height, width) != (size, size):
        verb, hint = ("resized", "") if height == width else ("squashed", " (--crop keeps shapes)")
        changes.append(f"{verb} from {height} x {width} to {size} x {size}{hint}")
    if clip.source_shape[2] != channels:
        changes.append(f"turned to {'grey' if channels == 1 else 'colour'}")
    if changes:
        print(f"{args.clip}: frames were {' and '.join(changes)}, as the world wants them")


PREDICT = Verb(
    summary="Imagine how a clip goes on: futures as GIF, MP4, PNG strip or NPZ.",
    examples=(
        "world.safetensors clip.mp4 --horizon 30 --samples 4 --substeps 4 --out out.gif",
        "world.safetensors clip.mp4 --conditioning 10 --samples 8 --out futures.mp4",
        "world.safetensors smmnist --conditioning 5 --horizon 20 --out digits.gif",
        "world.safetensors frames/ --crop 0 20 120 120 --every 2 --mean --out strip.png",
        "pendulum data/seed0-part000.safetensors --horizon 50 --conditioning 10 --out dream.gif",
    ),
    configure=_configure,
    run=_run,
    kept=nothing_kept,
)
