"""The part of `srvp-world evaluate` that predicts videos."""

from argparse import Namespace
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srvp_world.commands.parser import overridden
from srvp_world.commands.verb import RESULTS, world_file
from srvp_world.errors import (
    ConfigError,
    OutputError,
    UnknownNameError,
    WorldFileError,
    did_you_mean,
)

if TYPE_CHECKING:
    import torch

    from srvp_world.benchmark.networks import Networks
    from srvp_world.benchmark.protocols import Clips, Protocol
    from srvp_world.benchmark.scores import VideoScores


def is_video(what: str, or_give: str = "or give a policy file, or a folder of episodes") -> bool:
    """Say whether to evaluate videos, by protocol or folder, or a policy file.

    Args:
        what: As it was typed.
        or_give: What else could have been typed, for the error.

    Raises:
        UnknownNameError: For a name that is neither.
    """
    from srvp_world.benchmark.protocols import PROTOCOLS

    path = Path(what)
    if what in PROTOCOLS or path.is_dir():
        return True
    if path.is_file() or path.suffix:
        return False
    if len(path.parts) > 1:
        return True
    raise UnknownNameError(f"no protocol {what!r}: {did_you_mean(what, PROTOCOLS)} ({or_give})")


def evaluate_clips(args: Namespace, command: str) -> None:
    """Predict the clips of a protocol or folder; print the table, leave results and pictures."""
    from srvp_world.benchmark.fitting import open_fitting
    from srvp_world.benchmark.protocols import PROTOCOLS
    from srvp_world.benchmark.tables import video_table
    from srvp_world.benchmark.video import BATCH_SIZE, KEPT_CLIPS, SEED, evaluate_video
    from srvp_world.benchmark.video_protocol import protocol_hashes
    from srvp_world.benchmark.video_tables import as_markdown, published_table
    from srvp_world.checkpoint import load
    from srvp_world.data.files import make_folder
    from srvp_world.kinds import KINDS, kind_of

    out = args.out or _beside(args.world, args.what)
    if (out / RESULTS).exists():
        raise OutputError(f"{out} already holds {RESULTS}: choose another folder with --out")
    world = load(args.world, getattr(args, "device", "cpu"))
    protocol, data = _protocol(args, world.model.config.substeps)
    clips = open_fitting(protocol, data, [world.model.config])
    networks = _networks(args, protocol, clips.count, world.device)
    futures = KINDS[kind_of(world.model.config)].futures(
        world.model,
        substeps=protocol.substeps,
        observed_substeps=protocol.observed_substeps,
        temperature=protocol.temperature,
    )
    make_folder(out)
    args.seed = SEED if args.seed is None else args.seed
    scores = evaluate_video(
        futures,
        clips,
        protocol,
        metrics=networks.metrics,
        i3d=networks.i3d,
        seed=args.seed,
        batch_size=getattr(args, "batch_size", BATCH_SIZE),
        keep=getattr(args, "keep", KEPT_CLIPS),
        progress=not args.quiet,
    )
    print("\n".join([video_table(scores), *networks.described()]))
    if protocol.name in PROTOCOLS:
        print(f"\n{as_markdown([published_table(protocol.name)])}")
    about = {
        "world": world.fingerprint,
        "training": world.measured.get("training"),
        **_describe(scores, clips),
        "weights_sha256": networks.sha256,
    }
    about["protocol_hash"] = protocol_hashes(about)
    _leave(out, scores, about, args, command)


def _protocol(args: Namespace, trained_substeps: int) -> tuple["Protocol", Path | None]:
    """Give what is asked for, in full, and the folder with its clips, where they lie in one."""
    from srvp_world.benchmark.protocols import PROTOCOLS, folder_protocol

    base = PROTOCOLS[args.what] if args.what in PROTOCOLS else folder_protocol(Path(args.what))
    protocol = overridden(base, args)
    protocol = replace(
        protocol,
        substeps=protocol.substeps or trained_substeps,
        observed_substeps=protocol.observed_substeps or trained_substeps,
    )
    return protocol, clips_folder(args.what, getattr(args, "data", None))


def clips_folder(what: str, data: Path | None) -> Path | None:
    """Give the folder of the clips that are meant, None where they are made.

    Raises:
        ConfigError: If `what` is a folder of clips, and another one is given as well.
    """
    from srvp_world.benchmark.protocols import PROTOCOLS

    if what in PROTOCOLS:
        return data
    if data is not None:
        raise ConfigError(
            f"--data {data} has the clips of kth, human36m or bair, but {what!r} is a folder of "
            "clips itself: leave --data out"
        )
    return Path(what)


def _networks(
    args: Namespace, protocol: "Protocol", clips: int, device: "torch.device"
) -> "Networks":
    """Read the weights of the metrics that are asked for, where these can be measured at all."""
    from srvp_world.benchmark.networks import load_networks
    from srvp_world.benchmark.video_distance import check_fvd

    lpips, i3d = getattr(args, "lpips", None), getattr(args, "fvd", None)
    if i3d is not None:
        check_fvd(protocol, clips)
    return load_networks(lpips, i3d, device)


def _leave(
    out: Path, scores: "VideoScores", about: dict[str, Any], args: Namespace, command: str
) -> None:
    """Write results and pictures, and say where they are."""
    from srvp_world.benchmark.curves import CURVES, draw_curves
    from srvp_world.benchmark.page import PAGE, SAMPLES, draw_page, save_samples
    from srvp_world.results import write_results

    write_results(
        out / RESULTS,
        scores.numbers(),
        command=command,
        protocol=about,
        seed=args.seed,
        device=getattr(args, "device", "cpu"),
    )
    draw_page(scores, out / PAGE)
    save_samples(scores, out / SAMPLES)
    draw_curves(scores, out / CURVES, trained_frames=trained_frames(args.world))
    print(
        f"{out}: {scores.seconds:.1f} s, {scores.decoded / scores.seconds:,.0f} decoded frames/s; "
        f"see {PAGE}, {CURVES}, {SAMPLES} and {RESULTS}"
    )


def _beside(world: str, what: str) -> Path:
    """Choose where results go: beside the world, but not into the installed package."""
    from srvp_world.checkpoint import SHIPPED

    folder = world_file(world).parent
    return (Path() if folder == SHIPPED else folder) / f"evaluation-{Path(what).resolve().name}"


def _describe(scores: "VideoScores", clips: "Clips") -> dict[str, Any]:
    """Say in results how the numbers were made."""
    from srvp_world.benchmark.published import as_json
    from srvp_world.benchmark.scores import DEFINITIONS
    from srvp_world.metrics.fvd import DEFINITION

    protocol = scores.protocol
    metrics = {metric.name: metric.definition for metric in scores.metrics}
    return {
        **asdict(protocol),
        "videos": scores.clips,
        "clips": clips.source,
        "clips_sha256": scores.clips_sha256,
        "actions_sha256": scores.actions_sha256,
        "metrics": metrics | ({"fvd": DEFINITION} if scores.fvd else {}),
        "definitions": DEFINITIONS,
        "published": as_json(protocol.name),
    }


def trained_frames(world: str) -> int | None:
    """Read the length of training clips from the world's run, where it still lies in one."""
    from srvp_world.train.run import read_run

    with suppress(WorldFileError):
        return read_run(world_file(world).parent).train.window
    return None
