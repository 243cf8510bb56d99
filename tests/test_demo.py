"""The demo in its short form: all that it promises is there, and it can be stopped."""

import json

import pytest
from PIL import Image

from srvp_world import demo
from srvp_world.checkpoint import load
from srvp_world.errors import OutputError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "run"
    return out, demo.run_demo(out, seed=3, config=demo.FAST, progress=False)


def test_the_folder_holds_what_was_promised(finished):
    out, numbers = finished
    results = json.loads((out / "results.json").read_text())
    assert results["seed"] == 3
    assert numbers["real_steps"] == demo.FAST.real_steps
    for name in ("truth_and_dream.gif", "agent_in_reality.gif"):
        with Image.open(out / name) as picture:
            assert picture.n_frames > 10
    with Image.open(out / "return_against_dream_steps.png") as picture:
        assert min(picture.size) > 300


def test_the_data_hold_no_more_real_steps_than_said(finished):
    out, _ = finished
    data = demo.Dataset.open(out / "data")
    assert data.transitions * demo.PIXELS.action_repeat <= demo.FAST.real_steps


def test_the_saved_world_knows_its_quality_and_its_policies(finished):
    out, numbers = finished
    world = load(out / "world.safetensors")
    assert world.measured["return_after"] == numbers["return_after"]
    policies = sorted(path.stem for path in (out / "policies").glob("*.safetensors"))
    assert "final" in policies
    assert "step_0000000" in policies
    for path in (out / "policies").glob("*.safetensors"):
        demo.LatentPolicy.load(path, world)


def test_the_curve_begins_untrained_and_ends_trained(finished):
    _, numbers = finished
    steps = [int(step) for step in numbers["curve"]]
    assert steps[0] == 0
    assert steps[-1] >= demo.FAST.dream_steps
    assert numbers["curve"]["0"] == numbers["return_before"]
    assert numbers["curve"][str(steps[-1])] == numbers["return_after"]


def test_the_table_names_the_numbers_and_the_next_command(finished):
    out, numbers = finished
    text = demo.table(numbers, out)
    assert f"{numbers['return_after']['mean']:.0f}" in text
    assert f"srvp-world evaluate {out}/world.safetensors" in text


def test_a_finished_demo_is_not_overwritten(finished):
    out, _ = finished
    before = (out / "results.json").read_bytes()
    with pytest.raises(OutputError, match="choose another folder"):
        demo.run_demo(out, config=demo.FAST, progress=False)
    assert (out / "results.json").read_bytes() == before


def test_a_stopped_demo_goes_on_where_it_was(tmp_path, monkeypatch):
    out = tmp_path / "run"

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    def stop_half_way(pixels, folder, *args, **kwargs):
        collect(pixels, folder, *args, **{**kwargs, "steps": 400})
        raise KeyboardInterrupt

    collect = demo.collect
    with monkeypatch.context() as patch:
        patch.setattr(demo, "collect", stop_half_way)
        with pytest.raises(KeyboardInterrupt):
            demo.run_demo(out, config=demo.FAST, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(demo, "_train_agent", stop)
        with pytest.raises(KeyboardInterrupt):
            demo.run_demo(out, config=demo.FAST, progress=False)
        patch.setattr(demo, "collect", stop)  # neither is done again
        patch.setattr("srvp_world.train.trainer.Trainer.update", stop)
        with pytest.raises(KeyboardInterrupt):
            demo.run_demo(out, config=demo.FAST, progress=False)
        assert (out / "world.safetensors").exists()
    numbers = demo.run_demo(out, config=demo.FAST, progress=False)
    assert numbers["resumed"]
