"""What a verb of the command is, and what several verbs need."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srvp_world.commands.parser import Parser

RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One job of the command. Its functions import what they need, so that help is quick.

    Attributes:
        summary: One sentence.
        examples: What may follow the verb.
        configure: Adds the verb's arguments to a parser; gets the command line, too.
        run: Does the job; gets the parsed arguments, and the command as it was typed.
        kept: Says, after Ctrl-C, what was kept and how to go on.
    """

    summary: str
    examples: tuple[str, ...]
    configure: Callable[[Parser, Sequence[str]], None]
    run: Callable[[Namespace, str], None]
    kept: Callable[[Namespace, str], str]


def nothing_kept(args: Namespace, command: str) -> str:
    """Say that a verb leaves nothing half done."""
    return "nothing was written; start again with the same command"


def world_file(path_or_name: str) -> Path:
    """Give the file of a world that can be loaded."""
    from srvp_world.checkpoint import SHIPPED

    shipped = SHIPPED / f"{path_or_name}.safetensors"
    return shipped if shipped.is_file() else Path(path_or_name)
