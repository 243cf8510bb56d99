from dataclasses import replace

import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest

from srvp_world.benchmark.curves import draw_curves, fit_height
from srvp_world.benchmark.floors import FLOORS
from srvp_world.benchmark.page import draw_page, save_samples, shown_frames
from srvp_world.benchmark.protocols import PROTOCOLS, Protocol
from srvp_world.benchmark.published import PUBLISHED, as_json
from srvp_world.benchmark.scores import Estimate, KeptClip, VideoScores, estimate
from srvp_world.benchmark.tables import video_table
from srvp_world.metrics.frame import PSNR, SSIM

LOSS = replace(SSIM, name="loss", better="lower")
# Two clips, three samples, two frames. Sample 0 begins best, sample 1 is best on average.
VALUES = np.array(
    [[[9.0, 1.0], [6.0, 6.0], [5.0, 2.0]], [[1.0, 1.0], [4.0, 6.0], [3.0, 2.0]]], np.float32
)


def scores_of(values: np.ndarray = VALUES, name: str = "smmnist") -> VideoScores:
    n, samples, horizon = values.shape
    protocol = Protocol(name=name, conditioning=5, horizon=horizon, samples=samples)
    frames = np.zeros((horizon, 16, 16, 1), np.uint8)
    labels = ("best", "sample 1", "worst")
    clip = KeptClip(
        clip=0,
        truth=np.full((protocol.length, 16, 16, 1), 200, np.uint8),
        samples=dict.fromkeys(labels, frames),
        scores=dict.fromkeys(labels, {"psnr": 10.0, "loss": 0.5}),
    )
    floor = {"psnr": values[:, 0], "loss": values[:, 0]}
    return VideoScores(
        protocol=protocol,
        metrics=(PSNR, LOSS),
        values={"psnr": values, "loss": values},
        floors=dict.fromkeys(FLOORS, floor),
        diversity=np.full((n, horizon), 0.25),
        kept=[clip, clip],
        clips_sha256="",
        seconds=2.0,
        decoded=n * samples * horizon,
    )


def test_interval_of_the_mean_takes_the_populations_deviation() -> None:
    mean, interval = estimate(np.array([1.0, 2.0, 3.0, 6.0]))
    assert mean == 3
    assert interval == pytest.approx(1.96 * np.sqrt((4 + 1 + 0 + 9) / 4) / np.sqrt(4))
    assert estimate(np.zeros((5, 7))).mean.shape == (7,)


def test_samples_are_chosen_by_their_mean_over_frames_for_each_metric() -> None:
    scores = scores_of()
    rows = scores.rows(PSNR)
    np.testing.assert_array_equal(rows["best"], [[6, 6], [4, 6]])
    np.testing.assert_array_equal(rows["worst"], [[5, 2], [1, 1]])
    np.testing.assert_allclose(rows["mean"], [[20 / 3, 3], [8 / 3, 3]])
    lower = scores.rows(LOSS)
    np.testing.assert_array_equal(lower["best"], rows["worst"])
    np.testing.assert_array_equal(lower["worst"], rows["best"])


def test_numbers_of_tables_and_curves() -> None:
    numbers = scores_of().numbers()
    assert numbers["each_clip"]["psnr"] == [6, 5] and numbers["each_clip"]["loss"] == [3.5, 1]
    best = numbers["scores"]["psnr"]["best"]
    assert best["mean"] == 5.5 and best["interval"] == pytest.approx(1.96 * 0.5 / np.sqrt(2))
    np.testing.assert_allclose(numbers["curves"]["psnr"]["best"]["mean"], [5, 6])
    np.testing.assert_allclose(
        numbers["curves"]["psnr"]["best"]["interval"], [1.96 / np.sqrt(2), 0]
    )
    assert numbers["curves"]["frame"] == [6, 7]
    assert numbers["decoded_frames_per_second"] == 6
    assert numbers["diversity"]["mean"] == 0.25


def test_the_table_shows_floors_and_nothing_that_is_published() -> None:
    table = video_table(scores_of()).splitlines()
    assert table[0].startswith("| smmnist, 2 clips, 5 -> 2 frames | PSNR (dB), higher is better |")
    assert table[2].startswith("| best of 3 samples | 5.50 ± 0.69 |")
    for row in ("worst of 3 samples", "copy last frame", "black", "mean frame"):
        assert any(line.startswith(f"| {row} |") for line in table)
    assert "16.93" not in "".join(table)
    assert {line.count("|") for line in table if line.startswith("|")} == {4}
    own = video_table(scores_of(VALUES[:, :1], name="own"))
    assert "| one sample | 3.00" in own and "published" not in own and "diversity" not in own


def test_published_numbers_belong_to_protocols_and_name_their_source() -> None:
    assert PUBLISHED.keys() == PROTOCOLS.keys()
    for rows in PUBLISHED.values():
        assert any(row.method == "SRVP" for row in rows)
        assert all(row.source and 10 < row.scores["psnr"][0] < 35 for row in rows)
        assert all(0 < row.scores["ssim"][0] < 1 for row in rows if "ssim" in row.scores)
    assert as_json("own") == []
    human = {"psnr": (25.30, None), "lpips": (0.0509, None), "fvd": (416, None)}
    assert as_json("human36m")[1]["scores"] == human


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_page_shows_given_frames_then_predicted_ones_at_equal_distances(protocol) -> None:
    shown = shown_frames(protocol.conditioning, protocol.horizon)
    given = [frame for frame in shown if frame < protocol.conditioning]
    predicted = shown[len(given) :]
    assert given[-1] == protocol.conditioning - 1 and len(shown) <= 16
    assert len({b - a for a, b in zip(predicted, predicted[1:], strict=False)}) == 1
    assert predicted[-1] < protocol.length and len(predicted) >= 8


def test_a_single_predicted_frame_is_shown() -> None:
    assert shown_frames(1, 1) == [0, 1]


def test_pictures(tmp_path) -> None:
    scores = scores_of()
    draw_page(scores, tmp_path / "page.png")
    draw_curves(scores, tmp_path / "curves.png", trained_frames=7)
    save_samples(scores, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as stored:
        assert stored["truth"].shape == (2, 7, 16, 16, 1) and stored["clip"].tolist() == [0, 0]
        assert stored["worst"].shape == (2, 2, 16, 16, 1)
    page = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
    colours = {tuple((255 * pixel).round().astype(int)) for row in page for pixel in row}
    assert {(0, 170, 0), (210, 0, 0), (200, 200, 200), (0, 0, 0)} <= colours
    green = np.isclose(page, np.array([0, 170, 0]) / 255, atol=1e-3).all(axis=-1)
    columns = np.flatnonzero(np.diff(green.any(axis=0).astype(int)) == 1)
    assert len(columns) == 4  # the last four of five frames that were given
    assert len({row.tobytes() for row in green[green.any(axis=1)]}) == 2  # truth rows only
    assert matplotlib.image.imread(tmp_path / "curves.png").shape[:2] == (460, 1280)


def test_a_floor_that_is_perfect_now_and_then_takes_no_height_from_worlds() -> None:
    axes = matplotlib.figure.Figure().subplots()
    world = Estimate(np.linspace(18.0, 12.0, 95), np.full(95, 0.5))
    copied = np.full(95, 11.0)
    copied[72] = 100.0
    fit_height(axes, [world], [Estimate(copied, np.zeros(95))])
    low, high = axes.get_ylim()
    assert 10 < low < 11 and 18.5 < high < 19.5


def test_a_flat_line_keeps_the_height_that_it_has() -> None:
    axes = matplotlib.figure.Figure().subplots()
    fit_height(axes, [Estimate(np.ones(3), np.zeros(3))], [])
    assert axes.get_ylim() == (0, 1)  # of empty axes
