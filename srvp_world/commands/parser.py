"""The command line's parser: one-line errors with hints, and flags made from configurations."""

import argparse
import dataclasses
import json
import re
from collections.abc import Collection, Sequence
from inspect import cleandoc
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from srvp_world.errors import ConfigError, UnknownNameError, did_you_mean

C = TypeVar("C")

_SEEDS = 2**63


class Parser(argparse.ArgumentParser):
    """Raises our errors where argparse would print its usage and leave."""

    def __init__(self, **settings: Any) -> None:
        """Keep the layout of examples; take no abbreviations, which new options would break."""
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=formatter, allow_abbrev=False, **settings)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse all arguments.

        Raises:
            UnknownNameError: For an option that does not exist.
            ConfigError: For anything else that argparse refuses, and a seed that is none.
        """
        options = [name for name in self._option_string_actions if name.startswith("--")]
        for argument in arguments:
            if argument == "--":  # only positional arguments follow
                break
            name = argument.partition("=")[0]
            if argument.startswith("--") and name not in options:
                hint = did_you_mean(name, options)
                hint = hint if hint.startswith("did you mean") else f"see `{self.prog} --help`"
                raise UnknownNameError(f"no option {name!r} of `{self.prog}`: {hint}")
        args = self.parse_args(arguments)
        seed = getattr(args, "seed", None)
        if seed is not None and not 0 <= seed < _SEEDS:  # what PyTorch takes
            raise ConfigError(f"--seed must be in [0, 2^63), got {seed}")
        return args

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to look.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{message}: see `{self.prog} --help`")


def add_config_flags(
    parser: argparse.ArgumentParser, title: str, config: Any, *, skip: Collection[str] = ()
) -> None:
    """Add a flag for each scalar field of a configuration; help comes from its docstring.

    Flags that are not given leave no trace in the namespace, so that `overridden` can tell.

    Args:
        parser: Gets a group of flags.
        title: Heading of the group.
        config: A dataclass instance, whose values are the defaults that help shows.
        skip: Fields without a flag.
    """
    group = parser.add_argument_group(title)
    hints, texts = get_type_hints(type(config)), _attributes(type(config))
    for field in dataclasses.fields(config):
        kind = _kind(hints[field.name])
        if field.name in skip or kind is None:
            continue
        default = getattr(config, field.name)
        shown = ("yes" if default else "no") if isinstance(default, bool) else default
        text = texts.get(field.name, "").replace("%", "%%")
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            default=argparse.SUPPRESS,
            help=f"{text} [{shown}]",
            **kind,
        )


def overridden(config: C, given: argparse.Namespace) -> C:
    """Replace the fields of a configuration for which flags were given."""
    names = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    values = {name: value for name, value in vars(given).items() if name in names}
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def json_object(flag: str, text: str | None) -> dict[str, Any] | None:
    """Read what was given for a flag that takes a JSON object; None where nothing was.

    Raises:
        ConfigError: For other text.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{flag} {text!r} is no JSON object: write it as '{{\"name\": 1}}'")
    return value


def _kind(hint: Any) -> dict[str, Any] | None:
    """Say how argparse takes values of a type; None where it cannot."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint in (int, float, str):
        return {"type": hint, "metavar": "TEXT" if hint is str else hint.__name__.upper()}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    return None


def _attributes(cls: type) -> dict[str, str]:
    """Read what a class docstring says of each attribute."""
    _, _, section = cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.+(?:\n {5,}.+)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
