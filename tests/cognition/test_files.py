"""A folder of priors: only changed files are parsed again, and broken ones are reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cognition import files
from cognition.files import PriorFolder


def test_folder_gives_enabled_priors_and_problems(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# Second\n")
    (tmp_path / "a.md").write_text("# First\n")
    (tmp_path / "off.md").write_text("---\nenabled: false\n---\n# Off\n")
    (tmp_path / "bad.md").write_text("---\ncolour: red\n---\n")
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / ".hidden.md").write_text("# Swap file\n")
    (tmp_path / "note.txt").write_text("no prior")
    folder = PriorFolder(tmp_path)
    assert [prior.title for prior in folder.read()] == ["First", "Second"]
    assert [path.name for path, _ in folder.problems] == ["bad.md", "binary.md"]
    assert "colour" in folder.problems[0][1]
    assert "UTF-8" in folder.problems[1][1]


def test_missing_folder_is_empty_until_it_exists(tmp_path: Path) -> None:
    folder = PriorFolder(tmp_path / "later")
    assert folder.read() == []
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a.md").write_text("# Now\n")
    assert [prior.title for prior in folder.read()] == ["Now"]


def test_only_changed_files_are_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = files.parse_prior
    monkeypatch.setattr(files, "parse_prior", lambda name, text: (parsed.append(name), real(name, text))[1])
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n")
    folder = PriorFolder(tmp_path)
    first = folder.read()
    assert folder.read() == first
    assert sorted(parsed) == ["a", "b", "c"]
    (tmp_path / "a.md").write_text("# longer\n")
    # The same size and time, as an editor that writes a new file and renames it over the old one may leave it.
    status = (tmp_path / "b.md").stat()
    (tmp_path / "new").write_text("# B\n")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").rename(tmp_path / "b.md")
    (tmp_path / "c.md").unlink()
    assert [prior.title for prior in folder.read()] == ["longer", "B"]
    assert sorted(parsed[3:]) == ["a", "b"]


def test_mended_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\nweight: heavy\n---\n# A\n")
    folder = PriorFolder(tmp_path)
    assert folder.read() == []
    (tmp_path / "a.md").write_text("---\nweight: 2\n---\n# A\n")
    assert [prior.weight for prior in folder.read()] == [2.0]
    assert folder.problems == []


def test_name_that_is_not_utf8_is_reported_printably(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n")
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("# Latin 1\n")
    folder = PriorFolder(tmp_path)
    assert [prior.id for prior in folder.read()] == ["a"]
    ((path, why),) = folder.problems
    assert path == tmp_path / "caf\ufffd.md" and "UTF-8" in why
    str(path).encode()
