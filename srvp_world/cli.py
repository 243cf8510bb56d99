"""The command `srvp-world`: finds the verb, tells mistakes in one line."""

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from srvp_world import __version__
from srvp_world.commands.agent import AGENT
from srvp_world.commands.bench import BENCH
from srvp_world.commands.collect import COLLECT
from srvp_world.commands.data import DATA
from srvp_world.commands.demo import DEMO
from srvp_world.commands.evaluate import EVALUATE
from srvp_world.commands.experiment import EXPERIMENT
from srvp_world.commands.parser import Parser
from srvp_world.commands.play import PLAY
from srvp_world.commands.predict import PREDICT
from srvp_world.commands.report import REPORT
from srvp_world.commands.train import TRAIN
from srvp_world.commands.verb import Verb
from srvp_world.errors import SRVPWorldError, UnknownNameError, did_you_mean

VERBS = {
    "data": DATA,
    "collect": COLLECT,
    "train": TRAIN,
    "agent": AGENT,
    "evaluate": EVALUATE,
    "predict": PREDICT,
    "play": PLAY,
    "report": REPORT,
    "bench": BENCH,
    "experiment": EXPERIMENT,
    "demo": DEMO,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code.

    Users' mistakes are told in one line, with code 2; errors of ours keep their traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    kept = "nothing was written"
    try:
        verb, parser = parser_of(arguments)
        args = parser.parse(arguments[1:] if verb else arguments or ["--help"])
        if verb is None:
            return 0
        command = shlex.join(["srvp-world", *arguments])
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _tell_warning
                verb.run(args, command)
        except KeyboardInterrupt:
            kept = verb.kept(args, command)
            raise
    except SRVPWorldError as error:
        _tell(str(error))
        return 2
    except KeyboardInterrupt:
        _tell(f"stopped: {kept}")
        return 130
    except BrokenPipeError:  # as of `| head`: nobody reads on, so there is nothing to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its end
        return 141
    return 0


def _tell_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Tell in one line, too, without where in the sources it comes from."""
    _tell(f"warning: {message}")


def _tell(message: str) -> None:
    print(f"srvp-world: {' '.join(message.split())}", file=sys.stderr)


def parser_of(arguments: Sequence[str]) -> tuple[Verb | None, Parser]:
    """Find the verb and build its parser, or that of the command where no verb comes first."""
    if not arguments or arguments[0].startswith("-"):
        verbs = "\n".join(f"  {name:<12}{verb.summary}" for name, verb in VERBS.items())
        parser = Parser(
            prog="srvp-world",
            usage="srvp-world VERB ...",
            description="Learned latent world models that you can step.",
            epilog=f"verbs:\n{verbs}\n\nEach has `srvp-world VERB --help`, with examples.",
        )
        parser.add_argument("--version", action="version", version=f"srvp-world {__version__}")
        return None, parser
    name = arguments[0]
    if name not in VERBS:
        hint = did_you_mean(name, VERBS)
        raise UnknownNameError(f"no verb {name!r}: {hint} (see `srvp-world --help`)")
    verb = VERBS[name]
    examples = "\n".join(f"  srvp-world {name} {example}" for example in verb.examples)
    parser = Parser(
        prog=f"srvp-world {name}", description=verb.summary, epilog=f"examples:\n{examples}"
    )
    verb.configure(parser, arguments[1:])
    parser.add_argument("--quiet", action="store_true", help="show no progress bars")
    return verb, parser


if __name__ == "__main__":
    sys.exit(main())
