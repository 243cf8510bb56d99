"""The order of the layers in the design, held against every import in the sources."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "srvp_world"
LAYERS = (
    "config spaces world errors",
    "model",
    "metrics",
    "data",
    "baselines",
    "checkpoint kinds original pictures prediction presets results",
    "train",
    "envs testing",
    "agents",
    "benchmark",
    "demo",
    "commands",
    "cli",
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer.split()}
LAZY = {"World": "checkpoint", "load": "checkpoint"}  # what srvp_world/__init__.py hands on
SOURCES = sorted({*PACKAGE.glob("*.py"), *PACKAGE.glob("*/*.py")} - {PACKAGE / "__init__.py"})
OTHERS = sorted({*ROOT.glob("examples/**/*.py"), *ROOT.glob("tests/**/*.py")})


def imported(source: str) -> Iterator[str]:
    """Yield the absolute dotted name of everything that a module imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def violations(layer: str, source: str) -> list[str]:
    """List the imports that a module in this layer must not have."""
    return [name for name in imported(source) if not allowed(layer, name)]


def allowed(layer: str, name: str) -> bool:
    parts = name.split(".")
    if parts[0] != "srvp_world":
        return parts[0] not in ("", "envs", "agents")
    if name in ("srvp_world", "srvp_world.__version__"):
        return True
    return RANK[LAZY.get(parts[1], parts[1])] <= RANK[layer]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_from_layers_above(path: Path) -> None:
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert layer in RANK, f"give srvp_world.{layer} a place in LAYERS"
    assert violations(layer, path.read_text()) == []


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_envs_or_agents_by_their_bare_names(path: Path) -> None:
    assert violations("cli", path.read_text()) == []


def test_every_source_is_seen() -> None:
    """A third level of folders, or a broken link, would escape the test above."""
    folders = (PACKAGE, ROOT / "envs", ROOT / "agents")
    found = {path.resolve() for folder in folders for path in folder.rglob("*.py")}
    assert {path.resolve() for path in SOURCES} == found - {PACKAGE / "__init__.py"}


@pytest.mark.parametrize(
    "source",
    [
        "from srvp_world.envs.dream import DreamVectorEnv",
        "import srvp_world.train.fit",
        "from srvp_world import load",
        "def late():\n    from srvp_world import cli",
        "from envs.dream import DreamVectorEnv",
        "import agents",
        "from ..train import fit",
    ],
)
def test_a_forbidden_import_is_found(source: str) -> None:
    assert violations("data", "from srvp_world.model import blocks\n" + source) != []


def test_importing_the_package_is_light_and_registers_the_dream() -> None:
    code = """
import sys, gymnasium, srvp_world
assert "torch" not in sys.modules
assert "SRVPDream-v0" in gymnasium.registry
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
