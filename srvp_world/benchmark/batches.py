"""Clips in batches, where some models cannot watch one clip alone."""

from srvp_world.errors import ConfigError


def batches(clips: int, size: int, *, fewest: int = 1) -> list[slice]:
    """Cut clips into batches; a last one of fewer than `fewest` joins the one before it.

    Args:
        clips: How many there are.
        size: Clips of a batch.
        fewest: Clips that must be watched together.

    Raises:
        ConfigError: If there are fewer clips than that, or a batch has fewer.
    """
    for where, count, way_out in (
        ("in all", clips, f"give --videos {fewest} or more, or add clips"),
        ("in a batch", size, f"give --batch-size {fewest} or more"),
    ):
        if count < fewest:
            raise ConfigError(
                f"the world must watch {fewest} clips together, as it normalises them by one "
                f"another, but there is {count} {where}: {way_out}"
            )
    starts = list(range(0, clips, size))
    if clips - starts[-1] < fewest:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], clips], strict=True)]
