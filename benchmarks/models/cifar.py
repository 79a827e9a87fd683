"""The two CIFAR-10 nets that come with Taut: ResNet-20 and MobileNetV2 at half width, fixed fp16 weights."""

from __future__ import annotations

from pathlib import Path

from models.base import ACCURACY, Subject
from taut.fit.models import open_model
from taut.graph.onnx_export import save_onnx


def resnet20(cache: Path) -> Subject:
    """Return ResNet-20 (41 M multiply-accumulates at 32x32)."""
    return _subject("resnet20", "resnet20-cifar10", cache)


def mobilenetv2(cache: Path) -> Subject:
    """Return MobileNetV2 at half width."""
    return _subject("mobilenetv2", "mobilenetv2-half-cifar10", cache)


def _subject(name: str, net: str, cache: Path) -> Subject:
    file = cache / name / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written anew each time: the weights that ship are the truth, not what an earlier version cached.
    save_onnx(open_model(f"taut:{net}").graph, file)
    return Subject(name, f"taut:{net}", "cifar10", ACCURACY, file, net=net)
