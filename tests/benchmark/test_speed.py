import time
from dataclasses import replace

import pytest
import torch
from worlds import tiny_world

from srvp_world.benchmark import speed
from srvp_world.presets import preset

CPU = torch.device("cpu")


def test_a_rate_counts_amounts_and_takes_the_median(monkeypatch):
    monkeypatch.setattr(speed, "REPEAT_SECONDS", 0.0)
    pauses = iter([0.5, 0.01, 0.01, 0.3, 0.02, 0.01, 0.01])  # two to warm up, then five
    rate = speed._rate(lambda: time.sleep(next(pauses)), 6, CPU, repeats=5)
    assert 100 < rate <= 600  # 6 in 0.01 s; the slow outlier does not count
    assert next(pauses, None) is None


def test_short_work_is_repeated_until_it_can_be_timed(monkeypatch):
    monkeypatch.setattr(speed, "REPEAT_SECONDS", 0.05)
    calls = []

    def work():
        calls.append(time.sleep(0.002))

    rate = speed._rate(work, 1, CPU, repeats=3)
    assert rate <= 500 and len(calls) > 3 * 5


@pytest.fixture(scope="module")
def numbers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "REPEAT_SECONDS", 0.02)
        return speed.measure_speed(tiny_world(), num_envs=(1, 64), repeats=1, progress=False)


def test_training_and_all_kinds_of_dreams_are_timed(numbers):
    assert numbers["threads"] == torch.get_num_threads()
    assert numbers["training_frames_per_second"] > 0
    dreams = numbers["dream_steps_per_second"]
    assert {obs: set(outputs) for obs, outputs in dreams.items()} == {
        "latent": {"numpy", "torch"},
        "pixels": {"numpy", "torch"},
    }
    for outputs in dreams.values():
        for rates in outputs.values():
            assert list(rates) == ["1", "64"]
            assert 0 < rates["1"] < rates["64"]  # a batch shares the cost of a step


def test_the_table_shows_every_number(numbers):
    text = speed.table(numbers)
    head, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert head == "| dream steps/s | 1 env | 64 envs |"
    assert len(rows) == 1 + 4 and all(line.count("|") == head.count("|") for line in rows)
    assert f"{numbers['training_frames_per_second']:,.0f} frames/s" in text
    rate = numbers["dream_steps_per_second"]["pixels"]["torch"]["64"]
    assert rows[-1].startswith("| pixels, torch |") and rows[-1].endswith(f" {rate:,.0f} |")


@pytest.mark.parametrize("action", ["none", "discrete"])
def test_every_kind_of_world_can_be_timed(action):
    dream = speed._dreaming(tiny_world(action), 3, "latent", "torch")
    for _ in range(3):
        dream()


@pytest.mark.parametrize("name", ["control", "video"])
def test_the_batch_that_is_timed_is_one_that_can_be_learnt(name):
    chosen = preset("control")
    if name == "video":
        model = replace(chosen.model, reward=False, continuation=False, channels=3)
        chosen = replace(chosen, model=model)
    update, frames = speed._training(chosen, CPU)
    losses = [update()["total"].item() for _ in range(6)]
    assert frames == 256 and losses[-1] < losses[0]


def test_the_clips_that_are_timed_are_those_of_the_preset():
    make, frames = speed._generating(preset("mmnist-small"))
    assert make().frames.shape[:2] == (32, 15) and frames == 32 * 15
