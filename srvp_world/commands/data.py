"""`srvp-world data`: videos become data sets, and data sets are looked at."""

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srvp_world.commands.data_convert import CONVERT, reasons
from srvp_world.commands.data_experience import EXPERIENCE
from srvp_world.commands.parser import Parser
from srvp_world.commands.verb import RESULTS, Verb, group, nothing_kept
from srvp_world.errors import ConfigError, DataError

if TYPE_CHECKING:
    from srvp_world.data.importing import ImportConfig, ImportResult


def _configure_import(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add(
        "sources",
        type=Path,
        nargs="+",
        metavar="SOURCE",
        help="mp4, avi, gif, mov, webm and mkv files, folders of images, npy and npz arrays "
        "(t h w), (t h w c), (t c h w) or stacks of clips (n t h w) and so on; or folders of these",
    )
    add("--out", type=Path, required=True, metavar="DATA", help="folder, new or to go on with")
    add("--size", type=int, default=64, help="height and width: 32, 64 or 128 [%(default)s]")
    add("--channels", type=int, default=3, help="1 makes grey, 3 colour of all [%(default)s]")
    crop = ("TOP", "LEFT", "HEIGHT", "WIDTH")
    add("--crop", type=int, nargs=4, metavar=crop, help="part of the image to keep [all]")
    resample = ("box", "bicubic", "lanczos")
    add("--resample", choices=resample, default="box", help="filter that resizes [%(default)s]")
    add("--every", type=int, default=1, metavar="N", help="keep one frame of N [%(default)s]")
    add("--fps", type=float, metavar="F", help="keep F frames a second instead [all]")
    add("--axes", help="letters of an array's axes, such as tnhw, where it is not clear")
    add(
        "--min-frames",
        type=int,
        default=2,
        metavar="N",
        help="leave out shorter ones [%(default)s]",
    )
    shares = "shares of the videos for train, validation and test [%(default)s]"
    add("--split", default="0.9,0.05,0.05", help=shares)
    add("--seed", type=int, default=0, help="of the split [%(default)s]")


def _run_import(args: Namespace, command: str) -> None:
    from srvp_world.config import to_json
    from srvp_world.data.importing import import_videos
    from srvp_world.data.video import list_videos
    from srvp_world.results import write_results

    config = _import_config(args)
    videos = [video for source in args.sources for video in list_videos(source, args.axes)]
    result = import_videos(videos, args.out, config, progress=not args.quiet)
    if not (result.imported or result.present):
        raise DataError(_nothing(result))
    numbers = {
        "imported": len(result.imported),
        "frames": sum(video.frames for video in result.imported),
        "present": len(result.present),
        "splits": result.splits,
        "skipped": [{"video": name, "reason": reason} for name, reason in result.skipped],
    }
    protocol = {**to_json(config), "sources": [str(source) for source in args.sources]}
    path = args.out / RESULTS
    write_results(path, numbers, command=command, protocol=protocol, seed=args.seed, device="cpu")
    print("\n".join(_summary(args, result)))


def _import_config(args: Namespace) -> "ImportConfig":
    from srvp_world.data.frame_format import FrameFormat
    from srvp_world.data.importing import ImportConfig

    crop = args.crop and tuple(args.crop)
    try:
        train, validation, test = (float(share) for share in args.split.split(","))
    except ValueError:
        raise ConfigError(
            f"--split {args.split!r} must be three shares such as 0.9,0.05,0.05"
        ) from None
    return ImportConfig(
        format=FrameFormat(args.size, args.channels, crop, args.resample),
        every=args.every,
        fps=args.fps,
        min_frames=args.min_frames,
        fractions=(train, validation, test),
        seed=args.seed,
    )


def _nothing(result: "ImportResult") -> str:
    """Say why nothing was imported; more than one reason is printed before."""
    reasons = [reason for _, reason in result.skipped]
    if len(reasons) == 1:
        return reasons[0]
    print("\n".join(f"skipped: {reason}" for reason in reasons))
    return f"none of the {len(reasons)} videos could be imported, for the reasons above"


def _summary(args: Namespace, result: "ImportResult") -> list[str]:
    """Tell what was imported, what was not, and what may surprise."""
    frames = sum(video.frames for video in result.imported)
    lines = [f"skipped: {reason}" for _, reason in result.skipped]
    lines.append(
        f"{args.out}: {_videos(len(result.imported))} imported, {frames:,} frames; "
        f"{len(result.present):,} were there, {len(result.skipped):,} skipped"
    )
    lines += [f"  {args.out / split}: {_videos(n)}" for split, n in result.splits.items() if n]
    empty = [split for split, count in result.splits.items() if not count]
    if empty:
        lines.append(f"note: no video for {' and '.join(empty)}: import more, or change --split")
    rates = result.frame_rates
    if len(rates) > 1 and args.fps is None:
        shown = ", ".join("unknown" if rate is None else f"{rate:g}" for rate in rates)
        lines.append(f"note: the frame rates differ ({shown}): --fps makes them equal")
    grey = sum(video.grey for video in result.imported)
    if grey:
        lines.append(f"note: {_videos(grey)} without colour got three equal channels")
    return lines


def _videos(count: int) -> str:
    return f"{count:,} video{'' if count == 1 else 's'}"


def _kept(args: Namespace, command: str) -> str:
    from srvp_world.data.importing import SPLITS
    from srvp_world.data.video_episode import videos_in

    count = sum(len(videos_in(args.out / split)) for split in SPLITS)
    if not count:
        return "no video was imported; start again with the same command"
    return f"{args.out} keeps {_videos(count)}; go on with `{command}`"


IMPORT = Verb(
    summary="Turn videos into data sets for training, validation and test.",
    examples=(
        "videos --out data --size 64 --channels 3",
        "a.mp4 b.gif frames/walking --out data --every 2 --min-frames 20",
        "walks --out data/walks --channels 1 --resample bicubic --min-frames 40",
        "clips.npz --out data --axes tnhw --split 0.8,0.1,0.1",
    ),
    configure=_configure_import,
    run=_run_import,
    kept=_kept,
)


def _configure_check(parser: Parser, arguments: Sequence[str]) -> None:
    parser.add_argument("folder", type=Path, metavar="DATA", help="data set, or folder with splits")


def _run_check(args: Namespace, command: str) -> None:
    from srvp_world.data.checksums import wrong_files
    from srvp_world.data.conversion import read_left_out
    from srvp_world.data.report import report

    reports = report(args.folder, progress=not args.quiet)
    for folder, found in reports.items():
        print(folder)
        print("\n".join(f"  {heading:<10}{text}" for heading, text in found.facts.items()))
        print("".join(f"  wrong: {line}\n" for line in found.wrong), end="")
        print("".join(f"  note: {line}\n" for line in found.notes), end="")
    left_out = dict.fromkeys(entry for folder in reports for entry in read_left_out(folder))
    print("".join(f"{line}\n" for line in reasons([*left_out])), end="")
    changed = wrong_files(args.folder, progress=not args.quiet)
    print("".join(f"wrong: {line}\n" for line in changed), end="")
    count = len(changed) + sum(len(found.wrong) for found in reports.values())
    if count:
        raise DataError(f"{count} thing{'s'[: count > 1]} wrong with {args.folder}: see above")
    print("nothing is wrong")


CHECK = Verb(
    summary="Say what is in a folder of episodes, and all that is wrong with it.",
    examples=("data", "data/kth/train"),
    configure=_configure_check,
    run=_run_check,
    kept=nothing_kept,
)


def _configure_download(parser: Parser, arguments: Sequence[str]) -> None:
    add = parser.add_argument
    add(
        "name",
        choices=("mnist", "kth", "bair", "lpips", "i3d"),
        help="mnist: all 60,000 training digits, for the paper's Moving MNIST (10 MB); "
        "kth: KTH actions (1.1 GB); bair: BAIR robot pushing (32 GB); "
        "lpips: weights of LPIPS v0.1, AlexNet (244 MB); i3d: weights of FVD (51 MB). Human3.6M is "
        "given to those who register: see docs/datasets.md",
    )
    add("--out", type=Path, required=True, metavar="FOLDER", help="where to leave the files")
    add("--mirror", metavar="URL", help="where they come from [where they are published]")


def _run_download(args: Namespace, command: str) -> None:
    from srvp_world.benchmark.download_weights import download_weights
    from srvp_world.data.mnist import MIRROR, download_digits

    if args.name == "mnist":
        download_digits(args.out, mirror=args.mirror or MIRROR, progress=not args.quiet)
        place = shlex.quote(str(args.out))
        print(f"{args.out}: all 60,000 digits, checksums right; train with --digits {place}")
        return
    if args.name in ("kth", "bair"):
        _download_raw(args)
        return
    download_weights(args.name, args.out, mirror=args.mirror, progress=not args.quiet)
    flag = {"lpips": "--lpips", "i3d": "--fvd"}[args.name]
    line = shlex.join([flag, str(args.out)])
    print(f"{args.out}: weights whole, checksums right; evaluate with {line}")


def _download_raw(args: Namespace) -> None:
    from srvp_world.data.raw_archives import BAIR_MIRROR, KTH_MIRROR, download_bair, download_kth

    download, mirror = (
        (download_kth, KTH_MIRROR) if args.name == "kth" else (download_bair, BAIR_MIRROR)
    )
    download(args.out, mirror=args.mirror or mirror, progress=not args.quiet)
    line = ["srvp-world", "data", "convert", args.name, str(args.out), "--out", f"data/{args.name}"]
    print(f"{args.out}: archives whole; go on with `{shlex.join(line)}`")


def _kept_download(args: Namespace, command: str) -> str:
    return "whole files are kept; go on with the same command"


DOWNLOAD = Verb(
    summary="Download digits, raw videos or weights that are too large to ship, and check them.",
    examples=("mnist --out mnist", "kth --out raw/kth", "lpips --out lpips", "i3d --out i3d"),
    configure=_configure_download,
    run=_run_download,
    kept=_kept_download,
)

DATA = group(
    "Make data sets of videos and of experience, look at data sets, download digits and weights.",
    {
        "import": IMPORT,
        "convert": CONVERT,
        "experience": EXPERIENCE,
        "check": CHECK,
        "download": DOWNLOAD,
    },
)
