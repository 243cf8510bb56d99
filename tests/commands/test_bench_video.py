"""`srvp-world bench video` as a user types it, on what `srvp-world evaluate` leaves."""

import copy
import json
import re
import shlex
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from command import run

from srvp_world.benchmark.protocols import PROTOCOLS
from srvp_world.benchmark.scores import estimate
from srvp_world.benchmark.video_protocol import protocol_hashes
from srvp_world.cli import parser_of
from srvp_world.presets import PRESETS

REAL = Path(__file__).parents[2] / "benchmarks" / "smmnist-small" / "results.json"


def evaluation(preset="smmnist", psnr=16.5, **protocol):
    """What an evaluation leaves, as far as it is gathered."""
    counts = {"conditioning": 5, "horizon": 20, "videos": 5000, "samples": 100}
    about = {
        "name": "smmnist",
        "world": "feed",
        "training": {
            "preset": preset,
            "train": {"iterations": 1100, "window": 15, "seed": 7},
            "clips_seen": 35_200,
        },
        "substeps": 1,
        **counts,
        "clips_sha256": "ab",
        "metrics": {"psnr": "decibels", "ssim": "similarity"},
        "definitions": {"best": "by mean", "frames": "clamped"},
        "weights_sha256": {},
        **protocol,
    }
    about["protocol_hash"] = protocol_hashes(about)
    frames = list(range(about["conditioning"] + 1, about["conditioning"] + about["horizon"] + 1))
    line = {"best": {"mean": [psnr] * len(frames), "interval": [0.1] * len(frames)}}
    numbers = {
        "scores": {
            "psnr": {"best": {"mean": psnr, "interval": 0.08}},
            "ssim": {"best": {"mean": 0.75, "interval": 0.002}},
            "lpips": {"best": {"mean": 0.05, "interval": 0.003}},
        },
        "fvd": {"mean": 250.25, "interval": 4.5, "resize": "bilinear"},
        "curves": {"frame": frames, "psnr": line},
    }
    return {"command": "srvp-world evaluate", "numbers": numbers, "protocol": about}


def clip_by_clip(preset, clips):
    """The same with what each of a few clips got."""
    content = evaluation(preset, sum(clips) / len(clips), videos=len(clips))
    content["numbers"]["each_clip"] = {"psnr": clips}
    mean, interval = map(float, estimate(np.array(clips)))
    content["numbers"]["scores"]["psnr"]["best"] = {"mean": mean, "interval": interval}
    return content


def with_floors(content):
    """The same with what needs no world."""
    numbers, horizon = content["numbers"], content["protocol"]["horizon"]
    for place, floor in enumerate(("copy last frame", "black", "mean frame")):
        psnr = 11.5 + place
        numbers["scores"]["psnr"][floor] = {"mean": psnr, "interval": 0.25}
        line = {"mean": [psnr] * horizon, "interval": [0.25] * horizon}
        numbers["curves"]["psnr"][floor] = line
    return content


def leave(folder, content):
    folder.mkdir(parents=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "results.json").write_text(text)
    return folder / "results.json"


def section(text, title):
    """Give the rows and notes below a heading."""
    return text.split(f"### {title}\n")[1].split("###")[0]


def test_without_results_it_shows_what_is_published_alone(tmp_path, capsys):
    assert run(f"bench video --out {tmp_path}/out") == 0
    text = capsys.readouterr().out
    assert "measured" not in text
    assert all(f"### {name}: published" in text for name in PROTOCOLS)
    kth = section(text, "kth: published")
    assert "| SRVP | 29.69 ± 0.32 | 0.8697 ± 0.0046 | 0.0736 ± 0.0029 | 222 ± 3 | slides" in kth
    assert "N = 1,000 clips, 10 -> 30 frames (T = 40), best of 100 samples" in kth
    human = section(text, "human36m: published")
    assert "| SVRNN | 24.46 | 0.0557 | 556 | slides" in human and "SSIM" not in human
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.json",
        "table.md",
        "table.tex",
    }
    assert text.startswith((tmp_path / "out" / "table.md").read_text())


def test_measured_numbers_have_their_budget_and_tables_of_their_own(tmp_path, capsys):
    leave(tmp_path / "runs" / "srvp", evaluation())
    leave(tmp_path / "runs" / "gru", evaluation("smmnist-gru", 15.25))
    line = f"bench video {tmp_path}/runs {tmp_path}/runs/gru/results.json --out {tmp_path}/out"
    assert run(line) == 0
    text = capsys.readouterr().out
    ours, theirs = section(text, "smmnist: measured"), section(text, "smmnist: published")
    row = "| smmnist-gru, seed 7 | 1,100 | 35,200 | 1 | 15.25 ± 0.08 | 0.7500 ± 0.0020 | "
    assert ours.count(row) == 1 and "smmnist, seed 7 | 1,100" in ours  # a file counts once
    assert "SVG" not in ours and "seed 7" not in theirs
    assert "N = 5,000 clips, 5 -> 20 frames (T = 25), best of 100 samples" in ours
    hashes = protocol_hashes(evaluation()["protocol"])
    assert f"psnr `{hashes['psnr']}`, ssim `{hashes['ssim']}`" in ours
    assert "Not to be compared" not in text and "kth" not in text
    content = json.loads((tmp_path / "out" / "results.json").read_text())["numbers"]
    assert {number["kind"] for number in content["published"]} == {"published"}
    (block,) = content["measured"]["blocks"]
    first, second = block["rows"]
    assert (first["method"], second["method"]) == ("smmnist-gru", "smmnist")
    assert first["scores"]["psnr"] == {
        "value": 15.25,
        "interval": 0.08,
        "protocol_hash": hashes["psnr"],
    }
    assert (first["clips"], first["frames"], first["samples"]) == (5000, 25, 100)
    latex = (tmp_path / "out" / "table.tex").read_text()
    assert r"smmnist-gru, seed 7 & 1,100 & 35,200 & 1 & 15.25 $\pm$ 0.08" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert r"95 \% confidence" in latex and r"5 $\to$ 20" in latex
    picture = matplotlib.image.imread(tmp_path / "out" / "curves.png")
    assert picture.shape[:2] == (460, 640)  # SSIM has no curve here


def test_what_needs_no_world_stands_below_the_worlds(tmp_path, capsys):
    leave(tmp_path / "a", with_floors(evaluation()))
    leave(tmp_path / "b", with_floors(evaluation("smmnist-gru")))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b --out {tmp_path}/out") == 0
    ours = section(capsys.readouterr().out, "smmnist: measured")
    rows = [line for line in ours.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0] for row in rows[1:]] == [
        "| smmnist, seed 7",
        "| smmnist-gru, seed 7",
        "| no world: copy last frame",
        "| no world: black",
        "| no world: mean frame",
    ]
    assert rows[4] == "| no world: black | - | - | - | 12.50 ± 0.25 | - | - |"
    content = json.loads((tmp_path / "out" / "results.json").read_text())["numbers"]
    for row in content["measured"]["blocks"][0]["rows"]:
        assert row["floors"]["black"] == {"psnr": {"value": 12.5, "interval": 0.25}}


def test_the_first_need_not_have_curves(tmp_path):
    silent = evaluation()
    del silent["numbers"]["curves"]
    first, second = leave(tmp_path / "a", silent), leave(tmp_path / "b", evaluation("other"))
    assert run(f"bench video {first} --out {tmp_path}/none") == 0
    assert not (tmp_path / "none" / "curves.png").exists()
    assert run(f"bench video {first} {second} --out {tmp_path}/out") == 0
    assert (tmp_path / "out" / "curves.png").exists()


def test_worlds_are_told_apart_clip_by_clip_where_clips_tell(tmp_path, capsys):
    clips = [10.0, 14.0, 18.0, 22.0]  # far further apart than worlds are
    leave(tmp_path / "a", clip_by_clip("smmnist", clips))
    leave(tmp_path / "b", clip_by_clip("better", [10.2, 14.3, 18.2, 22.3]))
    leave(tmp_path / "c", clip_by_clip("worse", [9.8, 13.7, 17.8, 21.7]))
    leave(tmp_path / "d", clip_by_clip("alike", [11.25, 13.25, 19.25, 21.25]))
    leave(tmp_path / "e", evaluation("silent", videos=4))  # of an earlier version
    line = f"bench video {' '.join(f'{tmp_path}/{name}' for name in 'abcde')}"
    assert run(f"{line} --out {tmp_path}/out") == 0
    text = section(capsys.readouterr().out, "smmnist: measured, less smmnist, seed 7")
    rows = dict(
        row.strip("| ").split(" | ", 1)
        for row in text.splitlines()
        if row[:2] == "| " and "seed 7" in row
    )
    assert rows == {
        "better, seed 7": "+0.25 ± 0.05 | better",  # 1.96 * 0.05 / sqrt(4)
        "worse, seed 7": "-0.25 ± 0.05 | worse",
        "alike, seed 7": "+0.25 ± 0.98 | not told apart",
    }
    (block,) = json.loads((tmp_path / "out" / "results.json").read_text())["numbers"]["measured"][
        "blocks"
    ]
    found = block["less_the_first"][f"{tmp_path}/b/results.json"]["psnr"]
    assert found == pytest.approx({"mean": 0.25, "interval": 0.049})
    assert "Left out, without the scores of each clip: silent, seed 7." in text


def test_a_first_world_without_the_scores_of_each_clip_is_no_reference(tmp_path, capsys):
    leave(tmp_path / "a", evaluation("silent", videos=2))
    leave(tmp_path / "b", clip_by_clip("smmnist", [10.0, 14.0]))
    leave(tmp_path / "c", clip_by_clip("better", [10.5, 14.5]))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b {tmp_path}/c") == 0
    text = section(capsys.readouterr().out, "smmnist: measured, less smmnist, seed 7")
    assert "| better, seed 7 | +0.50 ± 0.00 | better |" in text and "silent, seed 7." in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"videos": 500}, "videos 500, in the paper 5,000"),
        ({"samples": 20}, "samples 20, in the paper 100"),
        ({"horizon": 10}, "horizon 10, in the paper 20"),
        ({"temperature": 0.0}, "temperature 0, in the paper 1; not as in earlier tables of this"),
        ({"clips_sha256": "cd"}, "not as in earlier tables of this data set: clips_sha256"),
        ({"metrics": {"psnr": "other", "ssim": "similarity"}}, "definition of psnr"),
    ],
)
def test_other_protocols_stand_apart_and_say_why(tmp_path, capsys, change, words):
    leave(tmp_path / "a", evaluation())
    leave(tmp_path / "b", evaluation("other", **change))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b") == 0
    text = capsys.readouterr().out
    first, second = text.split("### smmnist: measured\n")[1:]
    assert "other, seed 7" not in first and "| smmnist, seed 7" not in second
    assert "Not to be compared" not in first
    assert words in second.split("Not to be compared with other tables: ")[1]


def test_another_metric_beside_does_not_part_what_can_be_compared(tmp_path, capsys):
    metrics = {"psnr": "decibels", "ssim": "similarity", "lpips": "distance", "fvd": "of videos"}
    weights = {"lpips": {"alex": "1"}, "fvd": {"i3d": "2"}}
    leave(tmp_path / "a", evaluation())
    leave(tmp_path / "b", evaluation("more", metrics=metrics, weights_sha256=weights))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b") == 0
    ours = section(capsys.readouterr().out, "smmnist: measured")
    assert "| 16.50 ± 0.08 | 0.7500 ± 0.0020 | - | - | " in ours
    assert "| 16.50 ± 0.08 | 0.7500 ± 0.0020 | 0.0500 ± 0.0030 | 250.2 ± 4.5 | " in ours
    assert "FVD: N = 5,000, T = 25, 5 conditioning frames included, resized bilinear." in ours


def test_other_weights_are_told_even_where_the_first_world_has_none(tmp_path, capsys):
    metrics = {"psnr": "decibels", "fvd": "of videos"}
    leave(tmp_path / "a", evaluation())
    for name, sha in (("b", "1"), ("c", "2")):
        weights = {"fvd": {"i3d": sha}}
        leave(tmp_path / name, evaluation(name, metrics=metrics, weights_sha256=weights))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b {tmp_path}/c") == 0
    _, _, second = capsys.readouterr().out.split("### smmnist: measured\n")
    assert "not as in earlier tables of this data set: weights of fvd" in second


def test_one_clip_shows_no_order(tmp_path, capsys):
    leave(tmp_path / "a", clip_by_clip("smmnist", [10.0]))
    leave(tmp_path / "b", clip_by_clip("other", [11.0]))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b") == 0
    text = capsys.readouterr().out
    assert "measured, less" not in text


def test_folders_of_any_name_with_the_same_clips_share_a_table(tmp_path, capsys):
    leave(tmp_path / "a", evaluation("one", name="folder mine"))
    leave(tmp_path / "b", evaluation("two", name="folder test"))
    leave(tmp_path / "c", evaluation("three", name="folder test", clips_sha256="cd"))
    assert run(f"bench video {tmp_path}/a {tmp_path}/b {tmp_path}/c") == 0
    text = capsys.readouterr().out
    both = section(text, "folder mine, folder test: measured")
    assert "| one, seed 7 |" in both and "| two, seed 7 |" in both and "three" not in both
    assert "| three, seed 7 |" in section(text, "folder test: measured")


def test_the_temperature_is_in_every_form(tmp_path, capsys):
    leave(tmp_path / "a", evaluation(name="folder mine", temperature=0.5))
    assert run(f"bench video {tmp_path}/a --out {tmp_path}/out") == 0
    assert "best of 100 samples at temperature 0.5" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "out" / "results.json").read_text())["numbers"]
    assert numbers["measured"]["blocks"][0]["rows"][0]["temperature"] == 0.5


def test_folders_of_ones_own_have_nothing_published(tmp_path, capsys):
    leave(tmp_path / "a", evaluation(name="folder mine", training=None))
    assert run(f"bench video {tmp_path}/a") == 0
    text = capsys.readouterr().out
    assert "published\n" not in text and "Nothing is published for these clips." in text
    assert "| world feed | - | - | 1 |" in text


def test_results_that_were_left_before_there_were_hashes_are_read_if_they_say_enough(capsys):
    assert run(f"bench video {REAL}") == 0
    ours = section(capsys.readouterr().out, "smmnist: measured")
    assert (
        "| smmnist-small, seed 1 | 7,500 | 318,176 | 1 | 14.38 ± 0.09 | 0.6442 ± 0.0039 |" in ours
    )
    assert "videos 500, in the paper 5,000; samples 20, in the paper 100" in ours


def damaged(*path, value=None):
    content = copy.deepcopy(evaluation())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner.pop(path[-1]) if value is None else inner.update({path[-1]: value})
    return content


def without_hash(content):
    del content["protocol"]["protocol_hash"]
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is broken, it is no JSON"),
        ("[]", "is of another kind"),
        ({"numbers": {"x": 1}, "protocol": {}}, "is of another kind"),
        (damaged("protocol", "clips_sha256"), "is older than this srvp-world"),
        (damaged("protocol", "definitions"), "is older than this srvp-world"),
        (damaged("protocol", "metrics"), "is older than this srvp-world"),
        (damaged("protocol", "samples", value=99), "its hash is not that of its protocol"),
        (damaged("protocol", "metrics", value=3), "is broken in its protocol"),
        (damaged("protocol", "training", value=3), "does not tell the training"),
        (damaged("protocol", "substeps", value="x"), "budget or substeps are no numbers"),
        (damaged("numbers", "scores", "psnr"), "no score of 'psnr'"),
        (damaged("numbers", "scores", "ssim", "best", value={"mean": "x"}), "no score of 'ssim'"),
        (damaged("numbers", "curves", "psnr", value={}), "broken in its curves"),
        (damaged("numbers", "curves", value=[]), "broken in its curves"),
        (damaged("numbers", "curves", "psnr", "black", value=3), "broken in its curves"),
        (damaged("numbers", "scores", "psnr", "black", value=3), "no score of 'black' by 'psnr'"),
        (damaged("numbers", "curves", "frame", value=[6]), "broken in its curves"),
        (damaged("numbers", "curves", "frame", value=["6"] * 20), "broken in its curves"),
        (damaged("numbers", "each_clip", value=[]), "broken in the scores of its clips"),
        (damaged("numbers", "each_clip", value={"psnr": [1.0]}), "scores of its clips"),
        (damaged("numbers", "each_clip", value={"psnr": ["1"] * 5000}), "scores of its clips"),
        (evaluation(name=5), "name is 5"),
        (evaluation(samples=0), "samples is 0"),
        (damaged("protocol", "temperature", value="hot"), "is broken in its protocol"),
        (damaged("protocol", "temperature", value=10**400), "is broken in its protocol"),
        (evaluation(temperature=-3), "temperature is -3"),
        (without_hash(evaluation(temperature=2.0)), "its hash is not that of its protocol"),
        (damaged("protocol", "metrics", value={}), "its hash is not that of its protocol"),
        (damaged("protocol", "training", "train", "window", value="15"), "budget or substeps"),
        (damaged("protocol", "training", "train", "iterations", value=-5), "budget or substeps"),
        (damaged("numbers", "scores", "psnr", "best", "interval", value=-1), "no score of 'psnr'"),
        (damaged("numbers", "scores", "psnr", "best", "mean", value=10**400), "no score of 'psnr'"),
        (damaged("numbers", "each_clip", value={"psnr": [16.0] * 5000}), "not that of its clips"),
    ],
)
def test_what_cannot_be_gathered_is_refused_by_name(refused, tmp_path, content, words):
    path = leave(tmp_path / "bad", content)
    refused(f"bench video {path} --out {tmp_path}/out", path, words)
    assert not (tmp_path / "out").exists()


def test_other_results_in_folders_are_left_out_and_named(refused, tmp_path, capfd):
    training = leave(tmp_path / "run", {"numbers": {"iterations": 3}, "protocol": {}})
    refused(f"bench video {tmp_path}/run", f"{tmp_path}/run holds no results.json")
    leave(tmp_path / "run" / "evaluation-smmnist", evaluation())
    line = f"bench video {tmp_path}/run --out {tmp_path}/run/table"
    for _ in range(2):  # its own results do not disturb it
        assert run(line) == 0
        text = capfd.readouterr().out
        assert f"left out, as it is of another kind: {training}" in text
        assert text.count("| smmnist, seed 7 |") == 1


def test_mistakes_in_the_command(refused, tmp_path):
    path = leave(tmp_path / "a", evaluation())
    refused(f"bench video {tmp_path}/none", f"cannot read {tmp_path}/none")
    refused(f"bench video {path} --out {tmp_path}/a", "already holds another results.json", "--out")
    refused("bench video --world pendulum", "no option '--world' of `srvp-world bench video`")
    refused("bench --quiet video", "name the benchmark first")
    refused("bench vidio", "did you mean 'video'?")


def test_recipes_are_commands_that_parse():
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    verbs = []
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        if "--preset" in arguments:
            place = arguments.index("--preset") + 1
            assert arguments[place] in PRESETS, line
            assert arguments[arguments.index("--out") + 1] == f"runs/{arguments[place]}"
        assert program == "srvp-world"
        parser_of(arguments)[1].parse(arguments[1:])
        verbs.append(arguments[0])
    assert verbs.count("train") == verbs.count("evaluate") == 16
