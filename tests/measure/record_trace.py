"""Record a trace of latencies on this machine as it is now, and add it to ``data/traces.npz``.

    python tests/measure/record_trace.py model.onnx "busy, two threads" --runs 4000 --threads 2

The file is plain data: one float16 array of latencies in ms per trace, and what it was taken on as JSON text.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import onnxruntime

from taut.measure.environment import environment_record, timing_cores

FILE = Path(__file__).parent / "data" / "traces.npz"
WARM_UP_RUNS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description="Record a trace.")
    parser.add_argument("model", type=Path)
    parser.add_argument("name")
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cores = timing_cores(options.threads)
    os.sched_setaffinity(0, cores)
    latency_ms = record(options.model, options.runs, options.threads)
    about = environment_record(cores) | {"model": options.model.name, "threads": options.threads}
    stored = dict(np.load(FILE, allow_pickle=False)) if FILE.exists() else {}
    stored |= {
        options.name: latency_ms.astype(np.float16),
        f"about {options.name}": np.array(json.dumps(about)),
    }
    np.savez_compressed(FILE, **stored)
    print(f"{options.name}: {len(latency_ms)} runs, median {np.median(latency_ms):.3f} ms")


def record(model: Path, runs: int, threads: int) -> np.ndarray:
    """Return latencies in ms of back-to-back runs on zeros; open sizes are taken as 64."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {
        value.name: np.zeros([size if isinstance(size, int) else 64 for size in value.shape], np.float32)
        for value in session.get_inputs()
    }
    latency_ms = []
    for _ in range(WARM_UP_RUNS + runs):
        begin = time.perf_counter()
        session.run(None, feed)
        latency_ms.append((time.perf_counter() - begin) * 1e3)
    return np.array(latency_ms[WARM_UP_RUNS:])


if __name__ == "__main__":
    main()
