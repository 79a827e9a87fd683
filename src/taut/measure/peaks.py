"""What this machine can do at most: multiply-adds from registers, and bytes from each level of memory.

The loops are those of the dense kernel's inner tile over a few vectors in the first cache, and sums over an
array, compiled by our compiler. Each is run in many short bursts and the best counts: what others do on the
machine makes a burst slower, never faster. Cores are taken to compute, and to read what lies in caches of
their own, independently of one another; what they share is read by all threads at once. Bandwidth is that of
reading, which is the faster way: times computed with it are lower bounds.
"""

from __future__ import annotations

import ctypes
import importlib.resources
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from taut.core.move import Progress, no_progress
from taut.devices.caches import cache_bytes
from taut.devices.local import local_device
from taut.kernels.build import build, cache_folder, digest_of
from taut.kernels.dense import DOTS
from taut.kernels.expression import C_TYPES
from taut.kernels.target import Target, target_of
from taut.measure.lock import timing_lock

_SCHEMA = "1"
"""Of how it is measured"""
_BURSTS = 60
_BURST_S = 2e-3
_FIRST_SHARED = 3
"""Level of cache from which on cores share it"""
_ANYTHING = 2**62
_TILE = {32: (5, 4), 16: (4, 2)}
"""Sums in flight by vector registers: what is multiplied needs the rest"""
_MEMORY_BYTES = 2**27
"""Of an array that lies in memory: several times any cache of one core's share"""


@dataclass(frozen=True)
class Peaks:
    """The most that so many threads reach together."""

    threads: int
    multiply_adds: Mapping[str, float]
    """Precision -> per second"""
    bandwidths: tuple[tuple[int, float], ...]
    """(Bytes that a level holds for all threads, bytes per second), the smallest level first, memory last"""

    def bandwidth(self, size: float) -> float:
        """Return the bytes per second of the smallest level that holds so many bytes."""
        return next((speed for held, speed in self.bandwidths if size <= held), self.bandwidths[-1][1])


def measured_peaks(threads: int = 1, progress: Progress = no_progress) -> Peaks:
    """Measure in about a second, or find what was measured on this device; BadInput without a compiler."""
    source = _source(target_of(local_device()))
    file = cache_folder().parent / "peaks" / f"{digest_of(_SCHEMA, source, str(threads))}.json"
    if not file.exists():
        with timing_lock(progress):
            peaks = _measure(source, threads)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(asdict(peaks)), encoding="utf-8")
        unfinished.replace(file)
    return _read(file)


def _read(file: Path) -> Peaks:
    made = json.loads(file.read_text(encoding="utf-8"))
    return Peaks(made["threads"], made["multiply_adds"], tuple((h, s) for h, s in made["bandwidths"]))


def _measure(source: str, threads: int) -> Peaks:
    target = target_of(local_device())
    library = ctypes.CDLL(str(build(source, target)))
    pixels, vectors = _TILE[target.registers]
    multiply_adds = {
        precision: threads
        * pixels
        * vectors
        * target.lanes
        * dot.pack
        * _best([partial(library[f"taut_peak_{precision}"])])
        for precision, dot in DOTS.items()
    }
    return Peaks(threads, multiply_adds, tuple(_bandwidths(library, threads)))


def _bandwidths(library: ctypes.CDLL, threads: int) -> Iterator[tuple[int, float]]:
    """(Bytes that a level holds for all threads, bytes per second that they read from it)."""
    for level, size in cache_bytes().items():
        if level < _FIRST_SHARED:
            yield size * threads, threads * _reading(library, size // 2, 1)
        else:
            yield size, _reading(library, size // 2, threads)
    yield _ANYTHING, _reading(library, _MEMORY_BYTES, threads)


def _reading(library: ctypes.CDLL, size: int, threads: int) -> float:
    """Bytes per second that threads read of an array each, which are so large together."""
    # Not zeros: memory that was never written is one page.
    arrays = [np.ones(size // threads // 4, np.float32) for _ in range(threads)]
    reads = [
        partial(library.taut_read, ctypes.c_void_p(array.ctypes.data), ctypes.c_long(array.size))
        for array in arrays
    ]
    return sum(array.nbytes for array in arrays) * _best(reads)


def _best(works: Sequence[Callable[[ctypes.c_long], object]]) -> float:
    """Repetitions per second of work that takes their number, by as many threads as there is work."""
    count = 1
    while _clocked(works[0], count)[1] < _BURST_S:
        count *= 2
    best = 0.0
    with ThreadPoolExecutor(len(works)) as pool:
        for _ in range(_BURSTS):
            spans = list(pool.map(lambda work: _clocked(work, count), works))
            first, last = min(begin for begin, _ in spans), max(begin + took for begin, took in spans)
            best = max(best, count / (last - first))
    return best


def _clocked(work: Callable[[ctypes.c_long], object], count: int) -> tuple[float, float]:
    """When it began, and how many seconds it took."""
    began = time.perf_counter()
    work(ctypes.c_long(count))
    return began, time.perf_counter() - began


def _source(target: Target) -> str:
    header = (importlib.resources.files("taut.kernels") / "c" / "prelude.h").read_text(encoding="utf-8")
    loops = [_products(precision, target) for precision in DOTS]
    return "\n\n".join([f"#define LANES {target.lanes}", header, *loops, _READ])


def _products(precision: str, target: Target) -> str:
    """A tile of sums; the barrier for the compiler keeps products of the same numbers from being kept."""
    dot = DOTS[precision]
    pixels, vectors = _TILE[target.registers]
    kind = "vf" if dot.pack == 1 else "vi"
    load = "taut_load" if dot.pack == 1 else "taut_load_pack"
    step = target.lanes * dot.pack
    types = {"x": C_TYPES[dot.x or "float32"], "w": C_TYPES[precision]}
    sums = [f"s{p}_{v}" for p in range(pixels) for v in range(vectors)]
    lines = [f"const {kind} x{p} = {load}(x + {p * step});" for p in range(pixels)]
    lines += [f"const {kind} w{v} = {load}(w + {v * step});" for v in range(vectors)]
    lines += [
        f"s{p}_{v} = {dot.product.format(s=f's{p}_{v}', x=f'x{p}', w=f'w{v}')};"
        for p in range(pixels)
        for v in range(vectors)
    ]
    body = "\n    ".join(lines)
    return f"""void taut_peak_{precision}(long count) {{
  static {types["x"]} x[{pixels * step}]; static {types["w"]} w[{vectors * step}];
  {dot.sums} {", ".join(f"{s} = {{0}}" for s in sums)};
  for (long i = 0; i < count; i++) {{
    __asm__ volatile("" : : "r"(x), "r"(w) : "memory");
    {body}
  }}
  volatile {dot.sums} kept = {" + ".join(sums)};
  (void)kept;
}}"""


_READ = """void taut_read(const float *x, long size, long count) {
  vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  for (long i = 0; i < count; i++) {
    for (long e = 0; e + 4 * LANES <= size; e += 4 * LANES) {
      s0 += taut_load(x + e);
      s1 += taut_load(x + e + LANES);
      s2 += taut_load(x + e + 2 * LANES);
      s3 += taut_load(x + e + 3 * LANES);
    }
    __asm__ volatile("" : : "r"(x) : "memory");
  }
  volatile vf kept = s0 + s1 + s2 + s3;
  (void)kept;
}"""
