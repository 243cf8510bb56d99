import json

import numpy as np
import pytest
from command import COLLECT, SMALL, change, copy_of_data, run
from safetensors import safe_open

from srvp_world.data.dataset import EpisodeWriter
from srvp_world.data.episodes import Ending
from srvp_world.data.info import DatasetInfo


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("Pendulun-v1 --episodes 1", ["'Pendulun-v1'", "did you mean 'Pendulum-v1'?"]),
        ("no_such_module:X-v0 --episodes 1", ["no_such_module", "pip install"]),
        ("Pendulum-v1 --episodes 1 --size 63", ["63", "(32, 64, 128)"]),
        ("Pendulum-v1 --episodes 1 --channels 2", ["channels", "2"]),
        ("Pendulum-v1 --episodes 1 --action-repeat 0", ["action_repeat", "0"]),
        ("Pendulum-v1 --episodes 1 --crop 0 0 900 10", ["900", "500 x 500"]),
        ("Pendulum-v1 --episodes 1 --env-kwargs [1]", ["[1]", "JSON object"]),
        ("Pendulum-v1 --episodes 1 --env-kwargs {", ["'{'", "JSON object"]),
        ("Pendulum-v1 --episodes 1 --env-kwargs '{\"gg\": 1}'", ["gg"]),
        ("Pendulum-v1 --episodes 0", ["episodes", "0"]),
        ("Pendulum-v1 --steps -3", ["steps", "-3"]),
        ("Pendulum-v1 --episodes 1 --workers 0", ["workers", "0"]),
        ("Pendulum-v1 --episodes 1 --seed -1", ["seed", "-1"]),
        ("Pendulum-v1 --episodes 1 --policy smoth-random", ["did you mean 'smooth-random'?"]),
        ("Pendulum-v1 --episodes 1 --explore 0.3", ["--explore is for a policy file"]),
        ("Pendulum-v1 --episodes 1 --world w.safetensors", ["--world is for a policy file"]),
        ("counter_world:Blind-v0 --episodes 1", ["Blind-v0", "rgb_array"]),
    ],
)
def test_collecting_what_cannot_be_collected(shop, refused, tmp_path, flags, words):
    refused(f"collect --quiet --out {tmp_path}/new {flags}", *words)
    assert not (tmp_path / "new").exists()


def test_collecting_into_a_folder_in_use(shop, refused):
    seeds = '--env-kwargs \'{"length": 8, "ending": "truncated"}\' --episodes 1 --seed 3'
    refused(f"{COLLECT} {seeds} --out {shop.data}", "seed 3", "--seed 4")
    refused(f"{COLLECT} --out {shop.data} --episodes 1 --seed 9", "another data set")
    refused(f"{COLLECT} --out {shop.run} --episodes 1", shop.run, "another folder")


def test_an_env_that_breaks_loses_none_of_the_episodes_before(shop, refused, tmp_path):
    kwargs = json.dumps({"length": 8, "mishap": "nan"})
    line = f"{COLLECT} --env-kwargs '{kwargs}' --out {tmp_path}/data --episodes 1"
    refused(line, "reward nan at step 3", "finite")
    assert not list((tmp_path / "data").glob("*.safetensors"))


@pytest.mark.filterwarnings("default::srvp_world.data.coverage.CoverageWarning")
def test_what_data_cannot_teach_is_told_in_one_line_and_learnt_without(shop, tmp_path, capfd):
    data, _ = copy_of_data(shop, tmp_path)
    for path in data.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            actions = file.get_tensor("actions")
        change(path, actions=np.zeros_like(actions))
    assert run(f"train {data} --out {tmp_path}/run {SMALL}") == 0
    told = [line for line in capfd.readouterr().err.splitlines() if "all actions in" in line]
    assert len(told) == 1 and told[0].startswith(f"srvp-world: warning: all actions in {data} are")
    assert (tmp_path / "run" / "world.safetensors").exists()


def test_training_on_what_is_no_data_set(shop, refused, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(f"train {tmp_path}/empty --out {tmp_path}/run", "dataset.json", "srvp-world collect")
    refused(f"train {tmp_path}/none --out {tmp_path}/run", f"{tmp_path}/none")
    data, _ = copy_of_data(shop, tmp_path)
    for path in data.glob("*.safetensors"):
        path.unlink()
    refused(f"train {data} --out {tmp_path}/run", "holds no episodes", "srvp-world collect")
    assert not (tmp_path / "run").exists()


def test_training_on_a_data_set_from_a_newer_version(shop, refused, tmp_path):
    data, _ = copy_of_data(shop, tmp_path)
    description = data / "dataset.json"
    description.write_text(description.read_text().replace('"version": 1', '"version": 99'))
    refused(f"train {data} --out {tmp_path}/run", "99", "upgrade")


def wrong(name, row, value):
    def put(arrays):
        changed = arrays[name].copy()
        changed[row] = value
        return {name: changed}

    return put


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda a: {"frames": a["frames"][:, :16]}, ["frames", "(9, 16, 32, 1)", "convert"]),
        (lambda a: {"frames": np.repeat(a["frames"], 3, -1)}, ["frames", "(9, 32, 32, 3)"]),
        (lambda a: {"frames": a["frames"] * np.float32(np.nan)}, ["frames", "float32", "uint8"]),
        (lambda a: {"rewards": a["rewards"][1:]}, ["rewards", "(7,)"]),
        (wrong("rewards", 2, np.nan), ["rewards row 2", "NaN"]),
        (wrong("rewards", 5, np.inf), ["rewards row 5", "infinite"]),
        (wrong("actions", 1, 200), ["actions row 1", "200"]),
    ],
)
def test_training_on_a_broken_episode(shop, refused, tmp_path, harm, words):
    data, episode = copy_of_data(shop, tmp_path)
    with safe_open(episode, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in list(file.keys())}
    change(episode, **harm(arrays))
    refused(f"train {data} --out {tmp_path}/run {SMALL}", episode.name, *words)
    assert not (tmp_path / "run").exists()


def test_training_on_a_truncated_episode_or_one_from_a_newer_version(shop, refused, tmp_path):
    data, episode = copy_of_data(shop, tmp_path)
    change(episode, {"version": "99"}, extra=np.zeros(9, np.int8))
    refused(f"train {data} --out {tmp_path}/run", episode.name, "99", "upgrade")
    episode.write_bytes(episode.read_bytes()[:-20])
    refused(f"train {data} --out {tmp_path}/run", episode.name, "truncated", "record it again")


def test_a_validation_set_that_is_unlike_the_training_set(shop, refused, tmp_path):
    for part, channels in (("train", 1), ("validation", 3)):
        info = DatasetInfo(frame_size=32, channels=channels)
        writer = EpisodeWriter(tmp_path / "split" / part, info, stem="clip")
        writer.start(np.zeros((32, 32, channels), np.uint8))
        for _ in range(5):
            writer.add(None, None, np.zeros((32, 32, channels), np.uint8))
        writer.finish(Ending.UNFINISHED)
    line = f"train {tmp_path}/split --out {tmp_path}/run {SMALL}"
    refused(line, "split/validation", "channels is 3", "training data has 1")
    assert not (tmp_path / "run").exists()
    refused(f"train {shop.data} --out {tmp_path}/split {SMALL}", "holds a data set")


def test_training_on_a_video_shorter_than_the_window(shop, refused, tmp_path):
    video = DatasetInfo(frame_size=32, channels=1)
    writer = EpisodeWriter(tmp_path / "video", video, stem="clip")
    for _ in range(2):
        writer.start(np.zeros((32, 32, 1), np.uint8))
        writer.add(None, None, np.zeros((32, 32, 1), np.uint8))
        writer.finish(Ending.UNFINISHED)
    refused(f"train {tmp_path}/video --out {tmp_path}/run {SMALL}", "2 frames", "4 are needed")
