"""Every error that a user can cause: one line that names the value, the reason and the way out."""

import difflib
from collections.abc import Iterable


class SRVPWorldError(ValueError):
    """Base of all errors raised for a user's mistake; the CLI prints them in one line."""


class ConfigError(SRVPWorldError):
    """A configuration value is out of range, or values do not fit each other."""


class UnknownNameError(SRVPWorldError):
    """A preset, world, environment or option does not exist under this name."""


class SpaceError(SRVPWorldError):
    """A Gymnasium space is not supported, or an action lies outside its space."""


class DataError(SRVPWorldError):
    """An episode, clip or data set on disk or in memory is broken or does not fit."""


class MissingFileError(DataError):
    """An episode file is gone, as those of a bounded data set may be while others read it."""


class WorldFileError(SRVPWorldError):
    """A world or policy file is missing, truncated, from a newer version, or of another kind."""


class TrainError(SRVPWorldError):
    """Training cannot go on, for instance because the loss is not finite any more."""


class OutputError(SRVPWorldError):
    """A folder or file cannot be written."""


class StateError(SRVPWorldError):
    """A state cannot do what was asked of it, for instance observe after it was imagined."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint to append to an error: the nearest known names, or all of them.

    >>> did_you_mean("pendulun", ["pendulum", "cartpole"])
    "did you mean 'pendulum'?"
    """
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(options)}" if options else "none are known"
