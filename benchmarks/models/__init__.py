"""The five networks of the benchmark: each file fetches one, and real inputs for it, into a cache folder."""

from __future__ import annotations

from taut.core.registry import Registry

MODELS = Registry("benchmark model")
"""Name -> ``prepare(cache: Path) -> Subject``"""

MODELS.register("resnet20", "models.cifar:resnet20", extra="train")
MODELS.register("mobilenetv2", "models.cifar:mobilenetv2", extra="train")
MODELS.register("ocr_det", "models.ocr_det:prepare", extra="train")
MODELS.register("minilm", "models.minilm:prepare")
MODELS.register("gtcrn", "models.gtcrn:prepare")
