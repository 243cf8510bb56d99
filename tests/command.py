"""Runs the command `srvp-world` in this process, and breaks files for it."""

import shlex
import shutil
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

from srvp_world.cli import main

ENVS = Path(__file__).parent / "envs"
COLLECT = "collect counter_world:Counter-v0 --size 32 --workers 1 --quiet"
SMALL = (
    "--quiet --filters 2 --code-dim 8 --inference-hidden 8 --dynamics-hidden 8 --batch-size 2 "
    "--window 4 --iterations 6 --validate-every 3 --precision float32"
)


def run(line):
    """Run a command line in this process; give its exit code."""
    try:
        return main(shlex.split(str(line)))
    except SystemExit as leaving:
        return leaving.code or 0


def files(folder):
    """Read all files but the indices of data sets, which are caches that repair themselves."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in paths if path.name != "index.jsonl"}


def change(path, header=None, **arrays):
    """Rewrite arrays or metadata of a safetensors file."""
    with safe_open(path, "numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    path.unlink()
    save_file(tensors | arrays, path, metadata | (header or {}))


def copy_of_data(shop, tmp_path):
    """Copy the data set; also give its first episode file."""
    data = shutil.copytree(shop.data, tmp_path / "data")
    return data, sorted(data.glob("*.safetensors"))[0]
