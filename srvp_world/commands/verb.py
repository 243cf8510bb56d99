"""What a verb of the command is, and what several verbs need."""

import argparse
import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from srvp_world.commands.parser import Parser
from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean

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


def group(summary: str, verbs: Mapping[str, Verb]) -> Verb:
    """Make one verb of several, each found by the word that follows: `srvp-world data check`."""

    def configure(parser: Parser, arguments: Sequence[str]) -> None:
        name = arguments[0] if arguments else "--help"
        if name in ("-h", "--help"):
            parser.add_argument("verb", metavar="VERB", choices=verbs, help="one of those below")
            listed = "\n".join(f"  {name:<12}{verb.summary}" for name, verb in verbs.items())
            parser.epilog = f"verbs:\n{listed}\n\n{parser.epilog}"
            return
        if name.startswith("-"):
            example = f"`{parser.prog} {next(iter(verbs))} ...`"
            raise ConfigError(f"name the verb first, before {name!r}, as in {example}")
        if name not in verbs:
            hint = did_you_mean(name, verbs)
            raise UnknownNameError(f"no verb {name!r} of `{parser.prog}`: {hint}")
        verb = verbs[name]
        # The name of the program has the word already, so that usage need not show it twice.
        parser.add_argument("verb", help=argparse.SUPPRESS)
        parser.prog, parser.description = f"{parser.prog} {name}", verb.summary
        examples = "\n".join(f"  {parser.prog} {example}" for example in verb.examples)
        parser.epilog = f"examples:\n{examples}"
        verb.configure(parser, arguments[1:])

    return Verb(
        summary=summary,
        examples=tuple(f"{name} {line}" for name, verb in verbs.items() for line in verb.examples),
        configure=configure,
        run=lambda args, command: verbs[args.verb].run(args, command),
        kept=lambda args, command: verbs[args.verb].kept(args, command),
    )


def nothing_kept(args: Namespace, command: str) -> str:
    """Say that a verb leaves nothing half done."""
    return "nothing was written; start again with the same command"


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Keep a logger quiet, for instance where a verb says more than it does."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def world_file(path_or_name: str) -> Path:
    """Give the file of a world that can be loaded."""
    from srvp_world.checkpoint import SHIPPED

    shipped = SHIPPED / f"{path_or_name}.safetensors"
    return shipped if shipped.is_file() else Path(path_or_name)
