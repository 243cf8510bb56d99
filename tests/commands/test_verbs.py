import json
import math
import signal
from pathlib import Path

from command import COLLECT, ENVS, SMALL, run

from srvp_world.checkpoint import load
from srvp_world.data.dataset import Dataset
from srvp_world.train.trainer import Trainer


def test_collected_data_can_be_opened_and_say_how_they_were_made(shop):
    data = Dataset.open(shop.data)  # which does not mind results.json
    assert len(data) == 4 and data.transitions == 32
    content = json.loads((shop.data / "results.json").read_text())
    assert content["numbers"] | {"seconds": 0} == {
        "episodes": 4,
        "real_steps": 32,
        "mean_return": 36.0,
        "std_return": 0.0,
        "seconds": 0,
    }
    assert content["protocol"]["policy"] == "smooth-random"
    assert content["protocol"]["pixels"]["env_kwargs"]["length"] == 8
    assert content["command"].startswith("srvp-world collect counter_world:Counter-v0")


def test_a_trained_world_has_the_shape_that_flags_asked_for(shop):
    world = load(shop.world)
    config = world.model.config
    assert (config.filters, config.code_dim, config.frame_size) == (2, 8, 32)
    assert world.pixels.env_id == "counter_world:Counter-v0" and world.episode_length == 8
    content = json.loads((shop.run / "results.json").read_text())
    assert content["numbers"]["iterations"] == 6 and math.isfinite(content["numbers"]["best"])
    assert content["protocol"]["train"]["decay"] == 6  # shortened with the iterations
    assert content["protocol"]["model"]["filters"] == 2


def test_flags_reach_model_objective_and_training(shop, tmp_path):
    flags = "--skips --substeps 2 --beta-z 0.25 --seed 5 --learning-rate 0.01 --content-in-dynamics"
    assert run(f"train {shop.data} --out {tmp_path}/run {SMALL} {flags} --iterations 1") == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    model, train = config["model"], config["train"]
    assert (model["skips"], model["substeps"], model["content_in_dynamics"]) == (True, 2, True)
    assert model["objective"]["beta_z"] == 0.25
    assert (train["seed"], train["learning_rate"], train["iterations"]) == (5, 0.01, 1)
    assert load(tmp_path / "run" / "world.safetensors").model.config.skips


def test_ctrl_c_keeps_the_run_and_resuming_ends_bit_for_bit_alike(
    shop, tmp_path, monkeypatch, capfd, terminal
):
    original, updates = Trainer.update, []

    def update(self, batch):
        scalars = original(self, batch)
        updates.append(self.iteration)
        if self.iteration == 2:
            signal.raise_signal(signal.SIGINT)
        return scalars

    line = f"train {shop.data} --out {tmp_path}/run {SMALL}"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", update)
        assert run(line) == 130
    stderr = capfd.readouterr().err
    assert updates == [1, 2] and len(stderr.splitlines()) == 1
    assert "last.safetensors is kept" in stderr
    assert stderr.strip().endswith(f"go on with `srvp-world {line} --resume`")
    assert not (tmp_path / "run" / "world.safetensors").exists()
    assert run(f"train {shop.data} --out {tmp_path}/run --resume --quiet") == 0
    assert (tmp_path / "run" / "world.safetensors").read_bytes() == shop.world.read_bytes()


def test_ctrl_c_keeps_collected_episodes_and_says_how_to_go_on(tmp_path, monkeypatch, capfd):
    monkeypatch.syspath_prepend(str(ENVS))
    from srvp_world.envs import collect

    def stop_before_seed_2(env, policy, seed, *rest):
        if seed == 2:
            raise KeyboardInterrupt
        return original(env, policy, seed, *rest)

    original = collect.run_episode
    with monkeypatch.context() as patch:
        patch.setattr(collect, "run_episode", stop_before_seed_2)
        assert run(f"{COLLECT} --out {tmp_path}/data --episodes 9") == 130
    stderr = capfd.readouterr().err
    assert stderr.splitlines() == [
        f"srvp-world: stopped: {tmp_path}/data keeps 2 files of episodes; go on with --seed 2"
    ]
    assert run(f"{COLLECT} --out {tmp_path}/data --episodes 1 --seed 2") == 0
    assert len(Dataset.open(tmp_path / "data")) == 3


def test_evaluate_shows_reality_beside_the_dream(shop, tmp_path, capsys):
    line = f"evaluate {shop.world} {shop.policy} --episodes 3 --workers 1 --quiet --out {tmp_path}"
    assert run(line) == 0
    real, dream = capsys.readouterr().out.splitlines()[-2:]
    assert real == "| real | 36.0 | 0.0 | 3 |"  # 1 + 2 + ... + 8, whatever the policy does
    assert dream.startswith("| dream | ") and dream.endswith(" | 3 |")
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["numbers"]["real_return"]["each"] == [36.0] * 3
    assert len(content["numbers"]["dream_return"]["each"]) == 3
    assert (
        content["seed"] == 10_000 and content["protocol"]["world"] == load(shop.world).fingerprint
    )


def test_a_saved_policy_collects_what_its_world_sees(shop, tmp_path):
    line = "collect counter_world:Counter-v0 --workers 1 --quiet --episodes 2"
    files = f"--policy {shop.policy} --world {shop.world}"
    assert run(f"{line} --out {tmp_path}/data {files}") == 0
    ours, theirs = (Dataset.open(folder).info.pixels for folder in (tmp_path / "data", shop.data))
    assert ours == theirs
    assert Dataset.open(tmp_path / "data").read(0).provenance["policy"] == "SavedAgent"


def test_bench_and_demo_pass_their_arguments_on(shop, tmp_path, monkeypatch, capsys):
    from srvp_world import demo
    from srvp_world.benchmark import speed

    asked = []
    monkeypatch.setattr(
        speed, "measure_speed", lambda world, **rest: asked.append(rest) or {"x": 1}
    )
    monkeypatch.setattr(speed, "table", lambda numbers: "speed table")
    monkeypatch.setattr(demo, "run_demo", lambda out, **rest: asked.append((out, rest)) or {})
    monkeypatch.setattr(demo, "table", lambda numbers, out, program: f"demo table {program}")
    assert run(f"bench --world {shop.world} --preset smmnist --quiet --out {tmp_path}/speed") == 0
    assert run("demo --out runs/demo --seed 3 --fast") == 0
    assert run("demo --out runs/demo") == 0
    assert asked == [
        {"preset_name": "smmnist", "progress": False},
        (Path("runs/demo"), {"seed": 3, "config": demo.FAST, "progress": True}),
        (Path("runs/demo"), {"seed": 0, "config": None, "progress": True}),
    ]
    assert capsys.readouterr().out.split("\n") == [
        "speed table",
        "demo table srvp-world",
        "demo table srvp-world",
        "",
    ]
    assert json.loads((tmp_path / "speed" / "results.json").read_text())["numbers"] == {"x": 1}
