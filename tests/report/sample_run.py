"""A made-up fit run with everything that a report can show; real runs are tested with ``fit``."""

from __future__ import annotations

import numpy as np

from taut.core.figures import Measured, Predicted
from taut.report.data import (
    BudgetRow,
    Floor,
    LayerRow,
    ProofRow,
    QualityRow,
    ReportData,
    Reproduce,
    Role,
    Summary,
    TrialRow,
)

HOSTILE = '</script><script>alert("x")</script>\x1b[31m\u202e<img src=x onerror=alert(1)>/conv'

_TRIALS = (
    # label, moves, p50, quality, predicted p50, file, on the front, role
    ("original", "", 4.81, 91.94, None, 1.09e6, True, Role.ORIGINAL),
    ("runtime", "onnxruntime, 2 threads, no spinning", 4.33, 91.94, 4.40, 1.09e6, True, Role.CANDIDATE),
    ("openvino f32", "runtime", 3.92, 91.93, 4.05, 1.09e6, True, Role.CANDIDATE),
    ("openvino bf16", "runtime", 2.31, 91.88, 2.18, 1.09e6, True, Role.CANDIDATE),
    ("int8 everywhere", "int8 at 21 nodes, runtime", 2.64, 90.61, 1.96, 0.31e6, False, Role.CANDIDATE),
    ("int8 placed", "int8 at 14 nodes, runtime", 1.78, 91.71, 1.84, 0.36e6, True, Role.CANDIDATE),
    ("pruned 35%", "prune, recover, runtime", 2.02, 91.32, 1.93, 0.55e6, False, Role.CANDIDATE),
    ("pruned 35%, int8", "prune, recover, int8 at 13 nodes", 1.18, 91.38, 1.21, 0.21e6, True, Role.BEST),
    ("pruned 60%, int8", "prune, recover, int8 at 13 nodes", 0.77, 88.92, 0.74, 0.12e6, True, Role.CANDIDATE),
)


def sample_run(met: bool | None = True, hostile: bool = False) -> ReportData:
    """Return a run on a small residual network; ``hostile`` puts markup into every name."""
    ratio = Measured(0.2457, 0.2411, 0.2502, "ratio", 412)
    return ReportData(
        title=HOSTILE if hostile else "resnet20 on cifar10",
        verdict="4.1x faster than the original, drop 0.6 points"
        if met
        else "p50 1.18 ms misses p50<=1ms by 18%; cheapest relaxation: p50<=1.2ms",
        met=met,
        budget=_budget(met),
        original=Summary(
            "onnxruntime 1.32.0, float32, default options, 2 threads",
            p50=_ms(4.81),
            p99=_ms(5.62, 0.06),
            peak_memory=_bytes(96.4e6),
            file=_bytes(1.09e6),
            quality=_points(91.86),
        ),
        best=Summary(
            "openvino 2026.4.1, int8 and bf16 in two parts, 2 threads",
            p50=_ms(1.18),
            p99=_ms(1.43, 0.06),
            peak_memory=_bytes(71.2e6),
            file=_bytes(0.21e6),
            quality=_points(91.29),
        ),
        proof=_proof(ratio),
        trials=_trials(hostile),
        layers=_layers(hostile),
        quality=QualityRow(
            "accuracy",
            "points",
            _points(91.86),
            _points(91.29),
            Measured(0.57, 0.22, 0.93, "points", 5000),
            5000,
            "within limit; the interval lies below 1 point",
        ),
        floor=Floor(
            "Nothing here runs below 0.41 ms: the input is read once, and each of the 9 calls costs 0.02 ms.",
            (("calls", Predicted(0.18, 0.15, 0.21, "ms", 0.06)), ("memory traffic", _ms(0.23))),
        ),
        environment={
            "processor": "8 x 3.7 GHz, avx512_vnni, avx512_bf16",
            "threads": "2",
            "memory": "24 GB",
            "operating system": "Linux 6.1",
            "date": "2026-11-23 06:40 UTC",
        },
        reproduce=Reproduce(
            'taut fit resnet20.onnx --data cifar10 --budget "p50<=1.5ms, drop<=1" --search-time 10m --seed 0',
            0,
            {"taut": "0.1.0", "onnxruntime": "1.32.0", "openvino": "2026.4.1"},
        ),
        notes=("3 nodes were left whole: no move knows GridSample.",),
    )


def _ms(value: float, spread: float = 0.02) -> Measured:
    return Measured(value, value * (1 - spread), value * (1 + spread), "ms", 412)


def _bytes(value: float) -> Measured:
    return Measured(value, value, value, "bytes", 1)


def _points(value: float) -> Measured:
    return Measured(value, value - 0.75, value + 0.75, "points", 5000)


def _budget(met: bool | None) -> tuple[BudgetRow, ...]:
    bound = 1.5 if met else 1.0
    drop = Measured(0.57, 0.22, 0.93, "points", 5000)
    return (
        BudgetRow(f"p50<={bound:g}ms", "p50", bound, _ms(4.81), _ms(1.18), met),
        BudgetRow("drop<=1", "drop", 1.0, None, drop, True),
    )


def _proof(ratio: Measured) -> ProofRow:
    rng = np.random.default_rng(0)
    drift = 1 + 0.03 * np.sin(np.arange(412) / 40)
    old = 4.81 * drift * (1 + 0.02 * rng.gamma(2, 1, 412))
    new = 1.18 * drift * (1 + 0.025 * rng.gamma(2, 1, 412))
    return ProofRow(ratio, 412, 0.008, "faster", tuple(old.tolist()), tuple(new.tolist()))


def _trials(hostile: bool) -> tuple[TrialRow, ...]:
    rows = [
        TrialRow(
            label=f"{label} {HOSTILE}" if hostile else label,
            moves=moves,
            costs={"p50": _ms(p50), "file": _bytes(file)},
            predicted={} if told is None else {"p50": Predicted(told, told * 0.9, told * 1.1, "ms", 0.07)},
            quality={"accuracy": accuracy},
            meets=p50 <= 1.5 and accuracy >= 90.94,
            on_front=on_front,
            role=role,
        )
        for label, moves, p50, accuracy, told, file, on_front, role in _TRIALS
    ]
    failed = TrialRow("int8, default placement", "int8 at all nodes", error="the runtime refused Concat_12")
    return (*rows, failed)


def _layers(hostile: bool) -> tuple[LayerRow, ...]:
    rng = np.random.default_rng(1)
    layers = []
    for index in range(21):
        before = float(rng.uniform(0.08, 0.4))
        is_fused = index % 5 == 4
        layers.append(
            LayerRow(
                node=f"{HOSTILE}{index}"
                if hostile
                else f"/layer{index // 7 + 1}/block{index % 7}/conv1/Conv",
                op="Conv",
                macs=int(4.7e6 * before),
                before=_ms(before),
                after=None if is_fused else _ms(before * float(rng.uniform(0.15, 0.45))),
                before_precision="float32",
                after_precision="int8" if index else "float32",
                became=f"conv_{index}_fused" if is_fused else "",
            )
        )
    return tuple(layers)
