"""A run's folder is taken up only by the same request, and never overwrites anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from taut.core.errors import BadInput
from taut.fit.folder import open_run_folder


def test_new_folder_is_created_with_its_request(tmp_path: Path) -> None:
    folder = open_run_folder(tmp_path / "run", {"seed": 0}, resume=False)
    assert folder.request.exists()
    assert folder.candidates.is_dir()


def test_same_request_goes_on_when_resumed(tmp_path: Path) -> None:
    open_run_folder(tmp_path / "run", {"seed": 0, "moves": ("int8",)}, resume=False)
    assert (
        open_run_folder(tmp_path / "run", {"seed": 0, "moves": ("int8",)}, resume=True).root
        == tmp_path / "run"
    )


@pytest.mark.parametrize(
    ("identity", "resume", "message"),
    [
        ({"seed": 0}, False, "holds an earlier run"),
        ({"seed": 1}, True, "seed was 0, now 1"),
    ],
)
def test_earlier_run_is_refused(tmp_path: Path, identity: dict[str, int], resume: bool, message: str) -> None:
    open_run_folder(tmp_path / "run", {"seed": 0}, resume=False)
    with pytest.raises(BadInput, match=message):
        open_run_folder(tmp_path / "run", identity, resume)


def test_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        open_run_folder(tmp_path, {}, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        open_run_folder(tmp_path / "run", {}, resume=False)


def test_resume_of_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        open_run_folder(tmp_path / "run", {}, resume=True)


def test_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        open_run_folder(tmp_path / "file" / "run", {}, resume=False)
