import time
from dataclasses import replace

import pytest
import worlds
from worlds import tiny_world

from srvp_world.benchmark import dream
from srvp_world.benchmark.dream import TARGETS, Target, dream_table, measure_dream
from srvp_world.config import PixelConfig
from srvp_world.errors import ConfigError
from srvp_world.spaces import ActionSpec


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dream, "ROUNDS", 2)
    monkeypatch.setattr(dream, "ROUND_SECONDS", 0.0)


def test_both_sides_take_turns_and_a_call_is_timed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dream, "ROUNDS", 3)
    monkeypatch.setattr(dream, "ROUND_SECONDS", 0.02)
    calls = []

    def work(name: str, seconds: float):
        return lambda: calls.append(name) or time.sleep(seconds)

    slow, quick = dream.take_turns(work("slow", 0.004), work("quick", 0.001))
    assert len(slow) == len(quick) == 3
    assert min(slow) >= 0.004 and 0.001 <= min(quick) < 0.004
    turns = "".join(name[0] for name in calls[-3 * 25 :])
    assert "sq" in turns and "qs" in turns


def test_all_numbers_are_measured_and_laid_out_beside_their_targets(
    quick, monkeypatch: pytest.MonkeyPatch
):
    torque = ActionSpec(kind="box", shape=(1,), low=(-2.0,), high=(2.0,))
    monkeypatch.setitem(worlds.ACTIONS, "torque", torque)
    pixels = PixelConfig(env_id="Pendulum-v1", frame_size=32)
    numbers = measure_dream(replace(tiny_world("box"), pixels=None), progress=False)
    assert {target.name for target in TARGETS[:3]} < set(numbers)
    assert not any(name.startswith("pixel") for name in numbers)
    assert dream_table(numbers).count("met") + dream_table(numbers).count("missed") == 3
    real = dream._beside_reality(replace(tiny_world("torque"), pixels=pixels), 2)
    assert real["pixel_speedup_2"] > 0
    ratio = real["pixel_frames_per_second_2"] / real["real_decisions_per_second"]
    assert ratio == pytest.approx(real["pixel_speedup_2"], rel=0.8)


def test_a_target_is_a_largest_or_a_smallest_value():
    most, least = Target("x", 10, True, ""), Target("x", 10, False, "")
    assert most.met(10) and most.met(9) and not most.met(10.1)
    assert least.met(10) and least.met(11) and not least.met(9.9)


def test_a_world_that_takes_no_actions_is_refused():
    with pytest.raises(ConfigError, match="this world takes no actions"):
        measure_dream(tiny_world("none"), progress=False)
