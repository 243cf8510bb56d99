"""Clips as worlds watch them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from srvp_world.benchmark.protocols import ClipBatch, Clips, Protocol, open_clips
from srvp_world.kinds import AnyConfig


def open_fitting(protocol: Protocol, folder: Path | None, configs: Sequence[AnyConfig]) -> Clips:
    """Open clips that all of these worlds can watch.

    Where none of the worlds has actions or a vector, those of the clips are left aside.

    Args:
        protocol: With or without changes.
        folder: See `open_clips`.
        configs: Of the worlds.

    Raises:
        ConfigError: If a folder is missing or not wanted, or a world needs other actions or more
            conditioning frames.
        DataError: If there are not enough clips, or a world cannot watch them.
    """
    clips = open_clips(protocol, folder)
    if all(config.action is None and not config.vector_dim for config in configs):
        clips = _frames_only(clips)
    for config in configs:
        clips.check_fits(config, protocol)
    return clips


def _frames_only(clips: Clips) -> Clips:
    def read(start: int, stop: int) -> ClipBatch:
        return ClipBatch(clips.read(start, stop).frames, None)

    return replace(clips, action=None, vector_dim=0, read=read)
