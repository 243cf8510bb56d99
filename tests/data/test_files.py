from pathlib import Path

from srvp_world.data.files import files_below


def test_files_are_found_through_links_but_not_round_in_circles(tmp_path):
    inner = tmp_path / "raw" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "else" / "deep").mkdir(parents=True)
    for path in (inner / "2", tmp_path / "raw" / "1", tmp_path / "else" / "deep" / "3"):
        path.write_text("")
    (inner / "self").symlink_to(inner)
    (inner / "up").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "c").symlink_to(tmp_path / "else")
    (tmp_path / "raw" / "d").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "back").symlink_to(tmp_path / "raw" / "c")
    (tmp_path / "raw" / "e").symlink_to(tmp_path / "raw" / "1")
    found = [str(path.relative_to(tmp_path / "raw")) for path in files_below(tmp_path / "raw")]
    assert found == ["1", "b/2", "c/deep/3", "d/deep/3", "e"]
    assert files_below(inner / "2") == [inner / "2"]
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    assert len(files_below(tmp_path / "link")) == 5


def test_folders_that_cannot_be_listed_are_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").write_text("")
    listed = Path.iterdir

    def iterdir(folder):
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    told = []
    for closed in (told.append, None):
        assert files_below(tmp_path, closed) == [tmp_path / "open"]
    assert [error.filename for error in told] == [str(tmp_path / "closed")]
