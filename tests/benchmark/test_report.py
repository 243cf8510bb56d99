from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import random_actions, random_frames, tiny_model, tiny_world

from srvp_world.benchmark.report import ReportConfig, measure
from srvp_world.benchmark.report_film import draw_strip, write_film
from srvp_world.benchmark.report_plots import draw_page
from srvp_world.benchmark.report_table import report_table
from srvp_world.data.dataset import Dataset
from srvp_world.data.episodes import DatasetInfo, Ending, Episode, write_episode
from srvp_world.data.info import create_dataset
from srvp_world.errors import ConfigError, DataError

SMALL = ReportConfig(watched=3, horizon=5, samples=2, seed=0)


def write(folder, model, lengths=(14, 14), ending=Ending.TRUNCATED, rewards=True):
    """Record random episodes that a tiny model can watch."""
    action = model.action
    info = DatasetInfo(
        frame_size=32,
        channels=1,
        action=action,
        rewards=rewards and action is not None,
        vector_dim=model.vector_dim,
    )
    create_dataset(folder, info)
    draws = np.random.default_rng(0)
    for number, length in enumerate(lengths):
        frames = random_frames(1, length, model, seed=number)[0]
        taken = random_actions(action, 1, length - 1, seed=number)
        episode = Episode(
            frames=(frames.movedim(1, -1) * 255).byte().numpy(),
            actions=None if taken is None else taken[0].numpy(),
            rewards=draws.normal(size=length - 1).astype(np.float32) if info.rewards else None,
            vector=draws.normal(size=(length, model.vector_dim)).astype(np.float32)
            if model.vector_dim
            else None,
            ending=ending,
        )
        write_episode(folder, episode, stem=f"{ending}{number:03d}")
    return Dataset.open(folder)


def test_a_report_has_all_that_the_world_and_the_data_have(tmp_path):
    world = tiny_world(model=tiny_model(ensemble=2))
    write(tmp_path, world.model, lengths=(11, 9), ending=Ending.TERMINATED)
    report = measure(world, write(tmp_path, world.model), SMALL, progress=False)
    names = ["data", "open_loop", "reward", "reward_by_step", "reward_curve", "return", "returns"]
    names += ["continuation", "actions", "uncertainty", "age", "coverage"]
    assert list(report.numbers) == names and report.left_out == {}
    assert report.numbers["data"] == {"episodes": 4, "frames": 48, "clips": 8}
    assert report.numbers["continuation"]["ends"]["true"] == 2
    assert list(report.numbers["open_loop"]["psnr"]) == ["1", "5"]
    assert list(report.numbers["age"]["at"]) == ["1", "2", "5", "10"]
    assert report.truth.shape == report.dream.shape == (4, 8, 1, 32, 32)
    table = report_table(report.numbers, report.left_out)
    for word in ("open loop", "copying", "reward, step 2-5", "KL", "ends foreseen", "coverage"):
        assert word in table
    draw_all(report, tmp_path)


def draw_all(report, folder):
    draw_page(report, "toy", folder / "page.png")
    write_film(report, 15, folder / "film.gif")
    draw_strip(report, folder / "strip.png")
    assert all((folder / name).stat().st_size > 1000 for name in ("page.png", "strip.png"))


def test_what_cannot_be_measured_is_left_out_and_said(tmp_path):
    world = tiny_world("none", model=tiny_model("none", reward=False, continuation=False))
    report = measure(world, write(tmp_path, world.model), SMALL, progress=False)
    assert list(report.numbers) == ["data", "open_loop", "age", "coverage"]
    assert list(report.left_out) == ["reward", "continuation", "actions", "uncertainty"]
    assert report.left_out["actions"] == "the world takes none"
    assert "uncertainty: left out" in report_table(report.numbers, report.left_out)
    draw_all(report, tmp_path)


def test_without_terminations_there_is_nothing_to_calibrate(tmp_path):
    world = tiny_world("discrete")
    report = measure(world, write(tmp_path, world.model, rewards=False), SMALL, progress=False)
    assert "no episode terminated" in report.left_out["continuation"]
    assert report.left_out["reward"] == "the data have no rewards"
    assert report.actions.shape == (26, 3) and report.choices
    draw_all(report, tmp_path)


def test_vectors_beside_the_frames_are_watched_too(tmp_path):
    model = tiny_model(vector_dim=3)
    world = tiny_world(model=model)
    if world.starts.vector is None:
        vector = torch.randn(*world.starts.frames.shape[:2], 3)
        world = replace(world, starts=replace(world.starts, vector=vector))
    data = write(tmp_path / "a", model)
    report = measure(world, data, SMALL, progress=False)
    assert np.isfinite(report.numbers["age"]["curves"]["kl"]["mean"]).all()
    with pytest.raises(DataError, match="vectors of size 0, the world takes 3"):
        measure(world, write(tmp_path / "b", tiny_model()), SMALL)


def test_the_same_seed_measures_the_same(tmp_path):
    world = tiny_world()
    data = write(tmp_path, world.model)
    first, again = (measure(world, data, SMALL, progress=False).numbers for _ in range(2))
    other = measure(world, data, ReportConfig(watched=3, horizon=5, samples=2, seed=1))
    assert first["reward"] == again["reward"] != other.numbers["reward"]
    assert torch.equal(*(measure(world, data, SMALL, progress=False).dream for _ in range(2)))


def test_data_that_do_not_fit_are_refused(tmp_path):
    world = tiny_world()
    with pytest.raises(DataError, match=r"actions Discrete\(3\), the world takes Box"):
        measure(world, write(tmp_path / "a", tiny_model("discrete")), SMALL)
    with pytest.raises(DataError, match="actions None, the world takes Box"):
        measure(world, write(tmp_path / "b", tiny_model("none")), SMALL)
    big = tiny_world(model=tiny_model(frame_size=64))
    data = write(tmp_path / "c", world.model)
    with pytest.raises(DataError, match=r"frames of \(32, 32, 1\), the world takes \(64, 64, 1\)"):
        measure(big, data, SMALL)
    with pytest.raises(ConfigError, match="needs to watch 2 frames, got 1: give --watched 2"):
        measure(world, data, ReportConfig(watched=1, horizon=5))
