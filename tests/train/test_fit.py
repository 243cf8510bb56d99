import dataclasses
import json
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from srvp_world.errors import DataError, TrainError
from srvp_world.train.log import Logger
from srvp_world.train.snapshot import load_snapshot, load_weights
from srvp_world.train.trainer import Trainer, learning_rate

STOP = 5  # not a multiple of any cadence


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        a, b = load_file(one / name), load_file(other / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


def steps(run: Path, name: str) -> list[int]:
    lines = [json.loads(line) for line in (run / "scalars.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if name in line]


def interrupt_in_batches(model, batches):
    def source(iteration):
        if iteration == STOP:
            raise KeyboardInterrupt
        return batches(iteration)

    return source


def ctrl_c_in_an_update(model, batches):
    def press():
        if model.training and int(model.norm.num_batches_tracked) == STOP - 1:
            signal.raise_signal(signal.SIGINT)

    model.before_loss = press
    return batches


@pytest.mark.parametrize("stop", [interrupt_in_batches, ctrl_c_in_an_update])
def test_stopped_and_resumed_is_as_if_never_stopped(
    stop, run_fit, make_tiny, batches, tmp_path, config
) -> None:
    model, whole = run_fit(tmp_path / "whole")
    stopped = make_tiny()
    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "parts", model=stopped, source=stop(stopped, batches))
    done, _ = load_snapshot(
        tmp_path / "parts/last.safetensors",
        make_tiny(),
        torch.optim.Adam(stopped.parameters()),
        config,
    )
    assert done == STOP  # nothing is lost
    resumed, parts = run_fit(tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert all(map(torch.equal, model.state_dict().values(), resumed.state_dict().values()))
    assert (parts.iterations, parts.best, parts.terms) == (10, whole.best, whole.terms)
    assert (whole.resumed_from, parts.resumed_from) == (0, STOP)
    assert steps(tmp_path / "parts", "train/total") == [3, 6, 9, 10]


def test_an_update_that_is_cut_in_half_is_not_saved(run_fit, make_tiny, tmp_path) -> None:
    def cut(total):
        if int(model.norm.num_batches_tracked) == STOP + 1:  # statistics have moved, weights not
            raise KeyboardInterrupt
        return total

    model = make_tiny()
    model.after_loss = cut
    run_fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_fit(tmp_path / "parts", model=model)
    run_fit(tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_run_can_be_prolonged(run_fit, tmp_path, config) -> None:
    config = dataclasses.replace(config, decay=0)
    run_fit(tmp_path / "whole", config)
    run_fit(tmp_path / "parts", dataclasses.replace(config, iterations=4, save_every=3))
    run_fit(tmp_path / "parts", config, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    _, nothing = run_fit(tmp_path / "parts", config, resume=True)
    assert (nothing.iterations, nothing.terms) == (10, {})
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_the_best_of_before_is_still_the_best_after_resuming(run_fit, tmp_path, config) -> None:
    config = dataclasses.replace(config, iterations=5, validate_every=1, learning_rate=0.5, decay=0)
    _, early = run_fit(tmp_path, dataclasses.replace(config, iterations=1))
    best = (tmp_path / "best.safetensors").read_bytes()
    _, late = run_fit(tmp_path, config, resume=True)
    assert late.best == early.best
    assert (tmp_path / "best.safetensors").read_bytes() == best


def test_a_kill_leaves_one_line_for_each_step(run_fit, batches, tmp_path, config) -> None:
    def source(iteration):
        if iteration == 9:
            raise SystemExit
        return batches(iteration)

    config = dataclasses.replace(config, save_every=5, log_every=1)
    with pytest.raises(SystemExit):
        run_fit(tmp_path, config, source=source)
    with (tmp_path / "scalars.jsonl").open("a") as lines:
        lines.write('{"step": 9, "train/to')
    run_fit(tmp_path, config, resume=True)
    assert steps(tmp_path, "train/total") == list(range(1, 11))


@pytest.mark.parametrize(("owner", "name"), [(Trainer, "validate"), (Logger, "movie")])
def test_the_last_validation_is_made_up_for_where_a_kill_cut_it_off(
    run_fit, tmp_path, monkeypatch, owner, name
) -> None:
    _, whole = run_fit(tmp_path / "whole")
    calls = iter([getattr(owner, name)] * 2 + [None])  # the third cannot be made
    monkeypatch.setattr(owner, name, lambda *args: next(calls)(*args))
    with pytest.raises(TypeError):
        run_fit(tmp_path / "parts")
    monkeypatch.undo()
    for _ in range(2):  # once is enough
        assert run_fit(tmp_path / "parts", resume=True)[1].best == whole.best
        assert_same_run(tmp_path / "whole", tmp_path / "parts")
        assert steps(tmp_path / "parts", "validation/total") == [4, 8, 10]


def test_learning_rate_is_constant_then_falls_linearly(config) -> None:
    config = dataclasses.replace(config, learning_rate=1.0)
    rates = [learning_rate(config, i) for i in range(11)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])
    constant = dataclasses.replace(config, decay=0)
    assert {learning_rate(constant, i) for i in range(10)} == {1.0}


def test_updates_follow_the_schedule(run_fit, tmp_path, config) -> None:
    """The second of two decaying updates goes half as far as a constant one."""

    def weights(iterations, decay):
        changed = dataclasses.replace(config, iterations=iterations, decay=decay)
        return run_fit(tmp_path / f"{iterations}-{decay}", changed)[0].linear.weight

    first = weights(1, 0)
    decaying, constant = weights(2, 2) - first, weights(2, 0) - first
    torch.testing.assert_close(decaying, 0.5 * constant)
    assert constant.abs().max() > 1e-3


def test_gradients_are_clipped(run_fit, tmp_path, config) -> None:
    def norm(clip_norm):
        changed = dataclasses.replace(config, clip_norm=clip_norm)
        model, _ = run_fit(tmp_path / str(clip_norm), changed)
        return torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()

    free = norm(0.0)
    assert free > 0.01
    assert norm(free * 0.01) <= free * 0.01 * 1.001


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_autocast_surrounds_the_loss_where_asked(
    run_fit, make_tiny, tmp_path, precision, config
) -> None:
    seen = set()
    model = make_tiny()
    model.before_loss = lambda: seen.add(torch.is_autocast_enabled("cpu"))
    run_fit(tmp_path, dataclasses.replace(config, precision=precision), model)
    assert seen == {precision == "bf16"}


def test_validation_does_not_touch_training(run_fit, tmp_path) -> None:
    model, with_validation = run_fit(tmp_path / "with")
    same, without = run_fit(tmp_path / "without", validation=())
    assert all(map(torch.equal, model.state_dict().values(), same.state_dict().values()))
    assert with_validation.best is not None
    assert without.best is None
    assert not (tmp_path / "without/best.safetensors").exists()
    assert not model.training


def test_modes_are_explicit(run_fit, make_tiny, tmp_path) -> None:
    modes = []
    model = make_tiny().eval()
    model.before_loss = lambda: modes.append(model.training)
    run_fit(tmp_path, model=model)
    assert modes == [True] * 4 + [False] * 2 + [True] * 4 + [False] * 2 + [True] * 2 + [False] * 2


@pytest.mark.parametrize(
    ("select", "name", "pick"), [("loss", "total", min), ("psnr", "psnr", max)]
)
def test_best_holds_the_weights_of_the_best_validation(
    run_fit, make_tiny, batches, tmp_path, config, select, name, pick
) -> None:
    changes = {"iterations": 5, "validate_every": 1, "learning_rate": 0.5, "decay": 0}
    config = dataclasses.replace(config, **changes, select=select)
    _, result = run_fit(tmp_path, config)
    lines = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    key = f"validation/{name}"
    scores = [line[key] for line in lines if key in line]
    assert len(scores) == 5
    assert scores[-1] != pick(scores)  # else this shows nothing
    assert result.best == pick(scores)
    best = make_tiny()
    load_weights(tmp_path / "best.safetensors", best)
    until = dataclasses.replace(config, iterations=1 + scores.index(pick(scores)))
    then, _ = run_fit(tmp_path / "until", until)
    assert all(map(torch.equal, best.state_dict().values(), then.state_dict().values()))


def test_a_loss_that_is_not_finite_stops_the_run(run_fit, make_tiny, tmp_path, config) -> None:
    model = make_tiny()
    model.after_loss = lambda total: total / 0 if model.calls == 5 else total
    config = dataclasses.replace(config, log_every=5, save_every=4)
    with pytest.raises(TrainError, match=r"update 5 \(total inf, error .*lower the learning rate"):
        run_fit(tmp_path, config, model, validation=())
    assert all(
        tensor.isfinite().all() for tensor in load_file(tmp_path / "last.safetensors").values()
    )


def test_broken_weights_never_replace_a_snapshot(run_fit, make_tiny, tmp_path, config) -> None:
    """The loss is finite, its gradient is not, and Ctrl-C asks for a save before anyone looks."""

    def spoil(total):
        if model.calls != 5:
            return total
        signal.raise_signal(signal.SIGINT)
        return total + (model.linear.weight * 0).sum().sqrt()

    model = make_tiny()
    model.after_loss = spoil
    config = dataclasses.replace(config, log_every=10, save_every=4, clip_norm=0.0)
    with pytest.raises(TrainError, match="weights are not finite after update 5"):
        run_fit(tmp_path, config, model, validation=())
    assert all(
        tensor.isfinite().all() for tensor in load_file(tmp_path / "last.safetensors").values()
    )


def test_an_error_in_the_batches_is_raised_where_its_batch_is_due(
    run_fit, make_tiny, batches, tmp_path
):
    def source(iteration):
        if iteration == 3:
            raise DataError("episode 17 is truncated")
        return batches(iteration)

    model = make_tiny()
    with pytest.raises(DataError, match="episode 17"):
        run_fit(tmp_path, model=model, source=source, validation=())
    assert model.calls == 3


def test_the_bar_shows_loss_and_speed(run_fit, tmp_path, capsys) -> None:
    _, result = run_fit(tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "10/10" in shown
    assert f"loss {result.terms['total']:.4g}" in shown
    assert "frames/s" in shown
    assert result.frames_per_second > 0


def test_the_best_of_more_samples_is_better_and_the_first_sample_is_the_same(
    run_fit, tmp_path, config
) -> None:
    config = dataclasses.replace(config, iterations=1, decay=0)
    psnr = {}
    for samples in (1, 2, 8):
        run_fit(tmp_path / str(samples), dataclasses.replace(config, validation_samples=samples))
        line = (tmp_path / str(samples) / "scalars.jsonl").read_text().splitlines()[-1]
        psnr[samples] = json.loads(line)["validation/psnr"]
    assert psnr[1] < psnr[2] < psnr[8]


def test_a_snapshot_is_there_before_a_validation_begins(run_fit, make_tiny, tmp_path, config):
    """A long validation may not survive Ctrl-C; the updates before it must."""
    config = dataclasses.replace(config, iterations=4, validate_every=3, save_every=1000)
    model = make_tiny()

    def stop() -> None:
        if not model.training:
            raise RuntimeError("killed in the validation")

    model.before_loss = stop
    with pytest.raises(RuntimeError, match="killed"):
        run_fit(tmp_path, config, model)
    assert (tmp_path / "last.safetensors").exists()
