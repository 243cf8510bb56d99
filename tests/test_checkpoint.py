"""Worlds on disk: what is saved comes back, and what is broken is refused by name."""

import copy
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from worlds import KINDS, generator, random_actions, random_frames, tiny_model, tiny_world

import srvp_world
from srvp_world import checkpoint
from srvp_world.checkpoint import World, load
from srvp_world.config import PixelConfig
from srvp_world.errors import ConfigError, OutputError, UnknownNameError, WorldFileError
from srvp_world.world import Observation

ROOT = Path(__file__).parents[1]
Change = Callable[[dict[str, Tensor], dict], object]


def predictions(world: World) -> list[Tensor]:
    """Watch, imagine, decode: everything that the weights say."""
    model = world.model
    frames, actions = random_frames(2, 3, model), random_actions(model.action, 2, 3)
    before = None if actions is None else actions[:, :2]
    state = model.encode(Observation(frames), before, generator=generator())
    action = None if actions is None else actions[:, 2]
    following, prediction = model.step(state, action, generator=generator())
    return [model.features(following), model.decode(following), *prediction]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_world("box").save(tmp_path / "world.safetensors")


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_a_world_comes_back_bit_for_bit(kind: str, tmp_path: Path):
    model = tiny_model(kind, skips=True, content_in_features=True)
    model.reward_normaliser.freeze(torch.tensor([-4.0]), torch.tensor([2.5]))
    model.feature_normaliser.freeze(torch.randn(22), torch.rand(22) + 1)
    pixels = PixelConfig(env_id="Some-v0", env_kwargs={"g": 9.8}, frame_size=32, crop=(0, 1, 2, 3))
    world = tiny_world(kind, model, pixels=pixels, episode_length=7, fps=11)
    world = world.with_measured(psnr=30.5).with_measured(real={"return": [-1, 2]})
    path = world.save(tmp_path / "new" / "world.safetensors")
    back = load(path)
    torch.testing.assert_close(predictions(back), predictions(world), rtol=0, atol=0)
    assert back.model.config == world.model.config
    assert (back.pixels, back.episode_length, back.fps) == (pixels, 7, 11)
    assert back.measured == {"psnr": 30.5, "real": {"return": [-1, 2]}}
    assert back.fingerprint == world.fingerprint
    assert torch.equal(back.starts.frames, world.starts.frames)
    assert torch.equal(back.starts.lengths, world.starts.lengths)
    assert back.starts.begin_episodes == (kind != "none")
    if kind != "none":
        assert torch.equal(back.starts.actions, world.starts.actions)
    assert not back.model.training
    assert not any(parameter.requires_grad for parameter in back.model.parameters())
    assert [file.name for file in path.parent.iterdir()] == ["world.safetensors"]


def test_half_the_size_says_nearly_the_same(tmp_path: Path):
    world = tiny_world("box", tiny_model("box", filters=16))
    whole, half = (world.save(tmp_path / f"{x}.safetensors", half=x) for x in (False, True))
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    back = load(half)
    torch.testing.assert_close(predictions(back), predictions(world), rtol=0.02, atol=0.02)
    assert {value.dtype for value in back.model.parameters()} == {torch.float32}
    buffers = dict(world.model.named_buffers())
    for name, value in back.model.named_buffers():
        assert torch.equal(value, buffers[name])


def test_fingerprints_tell_worlds_apart():
    assert tiny_world("box").fingerprint == tiny_world("box").fingerprint
    assert tiny_world("box").fingerprint != tiny_world("box", tiny_model(seed=1)).fingerprint


def test_copies_of_a_world_are_itself_and_pickles_are_whole():
    world = tiny_world("box")
    assert copy.deepcopy({"world": world})["world"] is world
    back = pickle.loads(pickle.dumps(world))
    torch.testing.assert_close(predictions(back), predictions(world))
    assert world.to("cpu") is world
    assert world.to("meta").device.type == "meta"
    assert world.device.type == "cpu"


def rewrite(path: Path, change: Change) -> None:
    """Change the tensors and the header of a world file."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["srvp_world"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(tensors, header)
    save_file(tensors, path, {"srvp_world": json.dumps(header)})


def refuse(path: Path, reason: str) -> None:
    """The file is refused in one line that names it, the reason and the way out."""
    with pytest.raises(WorldFileError, match=reason) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert ": " in message


def test_missing_files(tmp_path: Path):
    refuse(tmp_path / "none.safetensors", "no file .*: give the path of a world file")
    refuse(tmp_path, "no file")


@pytest.mark.parametrize("keep", [0, 4, 300, -1, -1000])
def test_truncated_files(path: Path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])
    refuse(path, "is not a world file, or it is truncated .*: copy it again")


def test_files_of_another_kind(path: Path):
    path.write_bytes(pickle.dumps({"model": 1}))
    refuse(path, "is not a world file")
    save_file({"a": torch.zeros(2)}, path)
    refuse(path, "is a safetensors file but not a world")
    save_file({"a": torch.zeros(2)}, path, {"srvp_world": '{"kind": "snapshot"}'})
    refuse(path, "belongs to srvp-world but is no world")
    save_file({"a": torch.zeros(2)}, path, {"srvp_world": "[1"})
    refuse(path, "broken header")
    save_file({"a": torch.zeros(2)}, path, {"srvp_world": "[1]"})
    refuse(path, "is no world")


def change_header(**changes) -> Change:
    return lambda tensors, header: header.update(changes)


def change_tensor(name: str, value: Tensor) -> Change:
    return lambda tensors, header: tensors.update({name: value})


def change_value(name: str, value: float) -> Change:
    return lambda tensors, header: tensors[name].view(-1)[0].fill_(value)


def drop(name: str) -> Change:
    return lambda tensors, header: tensors.pop(name)


WEIGHT = "model.prior.network.0.weight"
FRAMES = torch.zeros(3, 6, 32, 32, 1, dtype=torch.uint8)
BROKEN = {
    "newer": (change_header(version=2), "has format 2, this srvp-world .* reads 1: upgrade"),
    "no version": (lambda _, header: header.pop("version"), "has format None"),
    "model": (change_header(model={"filters": 0}), "broken header .*filters must be at least 1"),
    "field": (change_header(modle={}), "broken header .*did you mean 'model'"),
    "fps": (change_header(fps="fast"), r"broken header .*fps must be float, got 'fast'"),
    "pixels": (change_header(pixels={}), "broken header .*PixelConfig is incomplete"),
    "lacks": (drop(WEIGHT), "lacks tensor 'prior.network.0.weight'"),
    "shape": (change_tensor(WEIGHT, torch.zeros(2, 3)), r"shape \(2, 3\), expected \(16, 8\)"),
    "nan": (change_value(WEIGHT, float("nan")), "NaN or infinite"),
    "inf": (change_value("model.reward_normaliser.std", float("inf")), "NaN or infinite"),
    "no starts": (drop("starts.frames"), "lacks start clips"),
    "no lengths": (drop("starts.lengths"), "lacks start clips"),
    "no actions": (drop("starts.actions"), "lacks start clips"),
    "float": (change_tensor("starts.frames", FRAMES.float()), "start frames are torch.float32"),
    "axes": (change_tensor("starts.frames", FRAMES.movedim(-1, 2).clone()), "not uint8 .n, t, 32"),
    "colour": (change_tensor("starts.frames", FRAMES.repeat(1, 1, 1, 1, 3)), r"32, 3\), not uint8"),
    "empty": (change_tensor("starts.frames", FRAMES[:0]), r"\(0, 6, 32, 32, 1\), not uint8"),
    "too long": (
        change_value("starts.lengths", 7),
        r"1 to 6 frames, their lengths say \[7, 4, 5\]",
    ),
    "too short": (change_value("starts.lengths", 0), r"lengths say \[0, 4, 5\]"),
    "real": (change_tensor("starts.lengths", torch.ones(3)), "lengths say"),
    "actions": (change_tensor("starts.actions", torch.zeros(3, 6, 2)), "6 start frames need 5"),
    "action": (change_value("starts.actions", 2.5), r"holds 2.5, outside \[-2.0004, 2.0004\]"),
    "nan action": (change_value("starts.actions", float("nan")), "holds nan, outside"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_worlds(name: str, path: Path):
    change, reason = BROKEN[name]
    rewrite(path, change)
    refuse(path, reason)


def test_clips_of_video_must_be_long_enough(tmp_path: Path):
    path = tiny_world("none", lengths=(3, 2)).save(tmp_path / "video.safetensors")
    assert load(path).action is None
    rewrite(path, change_value("starts.lengths", 1))
    refuse(path, r"must have 2 to 3 frames, their lengths say \[1, 2\]")


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    with pytest.raises(UnknownNameError, match="no world 'pendulum' ships .*none are known"):
        load()
    world = tiny_world("box")
    world.save(tmp_path / "pendulum.safetensors")
    assert load().fingerprint == load("pendulum").fingerprint == world.fingerprint
    with pytest.raises(UnknownNameError, match="did you mean 'pendulum'"):
        load("pendulun")
    assert srvp_world.load is load


def test_unknown_devices(path: Path):
    with pytest.raises(ConfigError, match="no device 'gpu'") as caught:
        load(path, "gpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="no device 'cuda:99'"):
        tiny_world("box").to("cuda:99")


def test_folders_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="choose a folder"):
        tiny_world("box").save(tmp_path / "file" / "world.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OutputError, match="choose a folder that you can write to"):
        tiny_world("box").save(tmp_path / "folder.safetensors")
    with pytest.raises(OutputError, match="use a name in .safetensors"):
        tiny_world("box").save(tmp_path / "world.pt")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.safetensors"]


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failure_in_mid_write_leaves_the_old_world(
    step: str, path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = path.read_bytes()

    def fail(file: Path, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            with file.open("wb") as half:
                half.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OutputError, match="No space left on device"):
        tiny_world("box", tiny_model(seed=1)).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


UNPICKLING = re.compile(
    r"^\s*(import|from) (pickle|joblib|dill)\b(?! import PicklingError)|"
    r"pickle\.loads?|torch\.load\(|allow_pickle=True|weights_only",
    re.MULTILINE,
)


TENSORS_ONLY = ROOT / "srvp_world" / "benchmark" / "pth.py"  # published weights come as .pth


def test_nothing_is_ever_unpickled():
    sources = [
        *(ROOT / "srvp_world").rglob("*.py"),
        *ROOT.glob("envs/*.py"),
        *ROOT.glob("agents/*"),
    ]
    assert len(sources) > 30
    texts = {path: path.read_text() for path in sources if path.suffix == ".py"}
    assert [path for path, text in texts.items() if UNPICKLING.search(text)] == [TENSORS_ONLY]
    loads = re.findall(r"torch\.load\(.*", texts[TENSORS_ONLY])
    assert loads == ['torch.load(path, map_location="cpu", weights_only=True)']
    for bad in ("import pickle", "x = torch.load(f)", "np.load(f, allow_pickle=True)"):
        assert UNPICKLING.search(bad)


def test_worlds_differ_only_by_what_was_changed():
    world = tiny_world("box")
    assert replace(world, fps=3).fingerprint == world.fingerprint
