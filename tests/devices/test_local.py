"""The local device: its fingerprint is stable and no system makes it fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.devices import local
from taut.devices.features import has_bfloat16
from taut.devices.local import default_threads, local_device

ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd aes asimdhp asimddp sve i8mm bf16
CPU part\t: 0xd40
"""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    local_device.cache_clear()
    yield
    local_device.cache_clear()


def test_fingerprint_is_stable_when_asked_twice() -> None:
    first = local_device()
    local_device.cache_clear()
    assert local_device() == first
    assert len(first.fingerprint) == 16


def test_fingerprint_changes_when_fewer_cores_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    before = local_device()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(before.cores + 1)), raising=False)
    local_device.cache_clear()
    assert local_device().cores == before.cores + 1
    assert local_device().fingerprint != before.fingerprint


def test_fingerprint_stays_when_memory_differs_by_a_kernel_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    before = local_device()
    memory = type("Memory", (), {"total": round(before.memory_bytes / 2**30) * 2**30 + 2**24})
    monkeypatch.setattr(local.psutil, "virtual_memory", lambda: memory)
    local_device.cache_clear()
    assert local_device().memory_bytes != before.memory_bytes
    assert local_device().fingerprint == before.fingerprint


def test_device_is_described_when_the_system_has_no_cpuinfo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local, "_CPUINFO", tmp_path / "absent")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    device = local_device()
    assert device.cores == os.cpu_count()
    assert device.features == () or set(device.features) == {"neon"}
    assert device.processor


def test_features_are_read_when_the_processor_is_arm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(ARM)
    monkeypatch.setattr(local, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(local.platform, "machine", lambda: "aarch64")
    device = local_device()
    assert {"neon", "asimd", "asimddp", "bf16", "i8mm"} <= set(device.features)
    assert "aes" not in device.features
    assert "0xd40" in device.processor
    assert has_bfloat16(device)


def test_default_threads_are_the_cores_this_process_may_use() -> None:
    assert default_threads() == len(os.sched_getaffinity(0))


def test_installed_runtimes_are_listed_without_importing_them() -> None:
    assert "onnxruntime" in local_device().runtimes
