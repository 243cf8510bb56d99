"""Commands that README and docs tell people to type are ones that the program takes."""

import re
import shlex
from pathlib import Path

import pytest

from srvp_world.cli import parser_of

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("benchmarks/*/*.md")),
]
COMMAND = re.compile(r"^\s*(?:\S*/)?srvp-world (.+)$", re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    blocks = re.findall(r"```(?:bash|console)\n(.*?)```", page.read_text(), re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in COMMAND.findall(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page: Path) -> None:
    for words in commands(page):
        parser_of(words)[1].parse(words[1:])


def test_commands_are_found_where_they_are_known_to_be() -> None:
    found = {page.name: len(commands(page)) for page in PAGES}
    assert found["experiments.md"] >= 5 and found["datasets.md"] >= 5
    assert len(commands(ROOT / "README.md")) >= 15
