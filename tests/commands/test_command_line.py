import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import run

from srvp_world.cli import VERBS, parser_of
from srvp_world.data.dataset import Dataset


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_that_parse(verb, capsys):
    assert run(f"{verb} --help") == 0
    text = capsys.readouterr().out
    assert VERBS[verb].summary in text
    for example in VERBS[verb].examples:
        assert f"srvp-world {verb} {example}".rstrip() in text
        arguments = shlex.split(f"{verb} {example}")
        parser_of(arguments)[1].parse(arguments[1:])


def test_training_help_explains_every_field_and_shows_the_presets_own_defaults(capsys):
    assert run("train --help --preset kth") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--state-dim INT Size of the state y. [50]" in text
    assert "--skips, --no-skips Whether the decoder also sees the encoder's maps" in text
    assert "Share of windows of experience that begin an episode. [0.125]" in text
    for follows_data in ("--frame-size", "--channels", "--reward ", "--vector-dim"):
        assert follows_data not in text


def test_help_is_quick_and_imports_no_torch():
    code = (
        "import sys\nfrom srvp_world.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert all(f"  {verb} " in result.stdout for verb in VERBS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trian data", ["'trian'", "did you mean 'train'?"]),
        ("frobnicate", ["'frobnicate'", "known: agent, bench, collect"]),
        ("--verison", ["'--verison'", "did you mean '--version'?"]),
        ("train data --out run --itertions 3", ["did you mean '--iterations'?"]),
        ("train data --itertions=3", ["did you mean '--iterations'?"]),
        ("train data --out run --frame-size 64", ["'--frame-size'", "srvp-world train"]),
        ("train data --out run --iter 3", ["no option '--iter'"]),
        ("train data", ["--out", "srvp-world train --help"]),
        ("train data --out run --iterations many", ["'many'", "--iterations"]),
        ("train data --out run --precision bf17", ["'bf17'", "float32"]),
        ("train data --out run --preset contrl", ["'contrl'", "did you mean 'control'?"]),
        ("train data --out run --preset", ["--preset", "expected one argument"]),
        ("collect Pendulum-v1 --out x", ["--steps", "--episodes"]),
        ("collect Pendulum-v1 --out x --steps 5 --episodes 1", ["not allowed with"]),
        ("collect Pendulum-v1 extra --out x --steps 5", ["extra"]),
        ("evaluate pendulum", ["WHAT", "srvp-world evaluate --help"]),
        ("demo", ["--out"]),
    ],
)
def test_command_lines_that_make_no_sense(refused, line, words):
    refused(line, *words)


def test_the_command_gives_exit_codes_and_no_traceback_for_users_mistakes(tmp_path):
    command = [sys.executable, "-m", "srvp_world.cli", "collect", "Pendulun-v1", "--steps", "5"]
    settings = {"capture_output": True, "text": True, "cwd": Path(__file__).parents[2]}
    result = subprocess.run([*command, "--out", tmp_path / "data"], **settings)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "srvp-world: no environment 'Pendulun-v1': did you mean 'Pendulum-v1'?"
    ]


def test_bugs_keep_their_traceback(shop, monkeypatch, tmp_path):
    def broken(folder, live):
        raise ZeroDivisionError

    monkeypatch.setattr(Dataset, "open", broken)
    with pytest.raises(ZeroDivisionError):
        run(f"train {shop.data} --out {tmp_path}/run")


def test_a_reader_that_leaves_early_sees_no_traceback():
    code = (
        "import sys; from dataclasses import replace; from srvp_world import cli; "
        "cli.VERBS['demo'] = replace(cli.VERBS['demo'], run=lambda *_: print('x' * 10**6)); "
        "sys.exit(cli.main(['demo', '--out', 'nowhere']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
