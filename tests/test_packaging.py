"""One tree, three ways in: the checkout, an editable install and the wheel must agree."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import srvp_world

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINKED = ("envs", "agents")
IMPORT_ALL = """
import importlib, pkgutil, sys
import srvp_world
for module in pkgutil.walk_packages(srvp_world.__path__, "srvp_world."):
    importlib.import_module(module.name)
ours = {"srvp_world", "envs", "agents"}
print(*(name for name in sys.modules if name.split(".")[0] in ours))
"""


def source_modules() -> set[str]:
    """Dotted names of all modules, from the files in the checkout."""
    files = {*ROOT.glob("srvp_world/*.py"), *ROOT.glob("srvp_world/*/*.py")}
    dotted = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files)
    return {name.removesuffix(".__init__") for name in dotted}


def test_packages_are_the_folders_with_an_init() -> None:
    files = {*ROOT.glob("srvp_world/__init__.py"), *ROOT.glob("srvp_world/*/__init__.py")}
    names = sorted(".".join(file.parent.relative_to(ROOT).parts) for file in files)
    assert PYPROJECT["tool"]["setuptools"]["packages"] == names


@pytest.mark.parametrize("name", LINKED)
def test_links_are_relative_and_lead_to_the_folders_that_are_built(name: str) -> None:
    link = ROOT / "srvp_world" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert (ROOT / name).is_dir()
    assert not (ROOT / name).is_symlink()
    assert PYPROJECT["tool"]["setuptools"]["package-dir"][f"srvp_world.{name}"] == name


@pytest.mark.parametrize("inside", [True, False], ids=["in-the-checkout", "elsewhere"])
def test_every_module_imports_under_one_name(inside: bool, tmp_path: Path) -> None:
    """In the checkout Python walks the links, elsewhere it asks the installation."""
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL]
    folder = ROOT if inside else tmp_path
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) == source_modules()


def test_python_m_pytest_works_from_the_root() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/test_layers.py"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_version_is_written_once() -> None:
    assert version("srvp-world") == srvp_world.__version__


def test_every_dependency_is_pinned_for_reproducible_installs() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines)
    project = PYPROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted}
    assert names <= pins.keys()
    assert all(re.fullmatch(r"[0-9.]+", pin) for pin in pins.values())
