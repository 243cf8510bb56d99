import dataclasses

import pytest

from srvp_world.errors import ConfigError, OutputError, WorldFileError


def test_a_second_run_does_not_overwrite_the_first(run_fit, tmp_path) -> None:
    run_fit(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="already holds a training run.*--resume.*another folder"):
        run_fit(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_bad_resumes_are_refused_and_lose_nothing(run_fit, make_tiny, tmp_path, config) -> None:
    with pytest.raises(WorldFileError, match="last.safetensors does not exist"):
        run_fit(tmp_path / "none", resume=True)
    run = tmp_path / "run"
    run_fit(run, dataclasses.replace(config, iterations=4))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = dataclasses.replace(config, learning_rate=3e-3)
    with pytest.raises(ConfigError, match=r"learning_rate is 0.003 but .* learning_rate 0.01"):
        run_fit(run, other, resume=True)
    with pytest.raises(WorldFileError, match=r"another model \(linear.bias is \(16,\).*\(9,\)"):
        run_fit(run, model=make_tiny(pixels=9), resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_made_is_refused(run_fit, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="choose another folder"):
        run_fit(tmp_path / "file" / "run")


@pytest.mark.parametrize("context", [0, 5])
def test_contexts_that_leave_nothing_to_imagine_are_refused(run_fit, tmp_path, context) -> None:
    with pytest.raises(ConfigError, match=rf"context is {context} but must be in \[1, 4\]"):
        run_fit(tmp_path, context=context)
