"""Checksums of a folder: what was changed, lost or slipped in is named."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.learning.checksums import NAME, check, write_checksums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files in it, one of them deeper, and their checksums."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "ünlike name.json").write_text("1", "utf-8")
    (tmp_path / "contract.json").write_text("2", "utf-8")
    write_checksums(tmp_path)
    return tmp_path


def test_what_is_as_it_was_passes_also_by_the_systems_own_tool(folder: Path) -> None:
    check(folder / NAME, folder)
    tool = shutil.which("sha256sum")
    if tool:
        done = subprocess.run([tool, "-c", NAME], cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout


def test_a_changed_file_is_named(folder: Path) -> None:
    (folder / "contract.json").write_text("3", "utf-8")
    with pytest.raises(
        ValueError, match=r"contract\.json: its SHA-256 is not the one in SHA256SUMS"
    ):
        check(folder / NAME, folder)


def test_a_lost_file_is_named(folder: Path) -> None:
    (folder / "bundle" / "ünlike name.json").unlink()
    with pytest.raises(ValueError, match=r"ünlike name\.json: missing"):
        check(folder / NAME, folder, "bundle")


def test_a_file_that_slipped_in_is_named(folder: Path) -> None:
    (folder / "bundle" / "more.json").write_text("3", "utf-8")
    with pytest.raises(ValueError, match=r"more\.json: its SHA-256 is not"):
        check(folder / NAME, folder)


def test_only_what_is_asked_about_is_checked(folder: Path) -> None:
    (folder / "contract.json").write_text("3", "utf-8")
    check(folder / NAME, folder, "bundle")
