"""Lloyd's step of k-means: rows go to the nearest centroid, into sums that every part keeps for itself.

k-means of Tabanelli et al. (arXiv 2107.09448): private accumulators and counters, merged after a barrier,
the update divided over clusters. There are as many parts as the kernel says, not as there are threads, so
that the order of additions, and with it every bit of the result, is the same for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.loops import pointer
from taut.kernels.target import Target
from taut.kernels.view import View


@dataclass(frozen=True)
class Assign:
    """Assign each row to its largest score, and add it to its part's sums. Row-major views throughout.

    x is (rows, features), scores (rows, clusters): larger is nearer, in squared distance up to the row's own
    square. Written: nearest (rows,) int32, and of each part sums (parts, clusters, features), counts (parts,
    clusters) int32 and spread (parts,), the squared distances of its rows.
    """

    nearest: View
    sums: View
    counts: View
    spread: View
    x: View
    scores: View
    is_start: bool
    """Accumulators are empty before these rows"""
    name: str = "assign"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        kept = () if self.is_start else (self.sums, self.counts, self.spread)
        return (self.x, self.scores, *kept)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.nearest, self.sums, self.counts, self.spread)

    @property
    def multiply_adds(self) -> int:
        return 2 * math.prod(self.x.shape) + math.prod(self.scores.shape)

    def code(self, target: Target) -> Code:
        rows, features = self.x.shape
        parts, clusters, _ = self.sums.shape
        whole = features - features % target.lanes
        empty = f"""memset(total, 0, {4 * clusters * features});
  memset(count, 0, {4 * clusters});
  spread[part] = 0.0f;"""
        body = f"""for (long part = begin; part < end; part++) {{
  float *total = sums + part * {clusters * features};
  int *count = counts + part * {clusters};
  {empty if self.is_start else ""}
  for (long i = {rows} * part / {parts}; i < {rows} * (part + 1) / {parts}; i++) {{
    const float *score = scores + i * {self.scores.strides[0]}, *row = x + i * {self.x.strides[0]};
    int best = 0;
    for (int c = 1; c < {clusters}; c++) best = score[c] > score[best] ? c : best;
    nearest[i] = best;
    count[best]++;
    float *sum = total + best * {features}L;
    vf squares = {{0}};
    for (long f = 0; f < {whole}; f += LANES) {{
      const vf value = taut_load(row + f);
      taut_store(sum + f, taut_load(sum + f) + value);
      squares += value * value;
    }}
    {self._rest(whole, features)}
    spread[part] += taut_sum_lanes(squares) - score[best];
  }}
}}"""
        views = (self.nearest, self.sums, self.counts, self.spread, self.x, self.scores)
        names = ("nearest", "sums", "counts", "spread", "x", "scores")
        parameters = tuple(
            pointer(view, name, is_written=view in self.writes)
            for view, name in zip(views, names, strict=True)
        )
        return Code(parameters, views, body, parts)

    @staticmethod
    def _rest(whole: int, features: int) -> str:
        """The features that do not fill a vector."""
        if not (count := features - whole):
            return ""
        value = f"const vf value = taut_load_part(row + {whole}, {count});"
        total = f"taut_load_part(sum + {whole}, {count}) + value"
        return f"{{ {value} taut_store_part(sum + {whole}, {total}, {count}); squares += value * value; }}"

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        x, scores = read(self.x), read(self.scores)
        parts, clusters, features = self.sums.shape
        nearest = scores.argmax(axis=1)
        away = (x.astype(np.float64) ** 2).sum(1) - scores.max(1)
        sums, counts = np.zeros((parts, clusters, features)), np.zeros((parts, clusters), np.int32)
        spread = np.zeros(parts)
        if not self.is_start:
            sums += read(self.sums)
            counts += read(self.counts)
            spread += read(self.spread)
        part = np.repeat(np.arange(parts), np.diff(len(x) * np.arange(parts + 1) // parts))
        np.add.at(sums, (part, nearest), x)
        np.add.at(counts, (part, nearest), 1)
        np.add.at(spread, part, away)
        return nearest.astype(np.int32), sums.astype(np.float32), counts, spread.astype(np.float32)


@dataclass(frozen=True)
class Centroids:
    """Merge the parts' sums into new centroids (clusters, features) and moved (clusters,), squared distances.

    A cluster without rows keeps its centroid; scikit-learn moves it to the row that is farthest from its own.
    """

    centroids: View
    moved: View
    sums: View
    counts: View
    old: View
    name: str = "centroids"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.sums, self.counts, self.old)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.centroids, self.moved)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.sums.shape)

    def code(self, target: Target) -> Code:
        parts, clusters, features = self.sums.shape
        whole = features - features % target.lanes
        rest = "" if whole == features else f"{{\n{self._vector(str(whole), features - whole)}\n  }}"
        body = f"""for (long c = begin; c < end; c++) {{
  int rows = 0;
  for (int part = 0; part < {parts}; part++) rows += counts[part * {clusters} + c];
  const float count = (float)rows;
  vf away = {{0}};
  for (long f = 0; f < {whole}; f += LANES) {{
{self._vector("f", target.lanes)}
  }}
  {rest}
  moved[c] = taut_sum_lanes(away);
}}"""
        views = (self.centroids, self.moved, self.sums, self.counts, self.old)
        names = ("centroids", "moved", "sums", "counts", "old")
        parameters = tuple(
            pointer(view, name, is_written=view in self.writes)
            for view, name in zip(views, names, strict=True)
        )
        return Code(parameters, views, body, clusters)

    def _vector(self, feature: str, count: int) -> str:
        """Some neighbouring features of a centroid."""
        parts, clusters, features = self.sums.shape
        load = f"taut_load_part({{}}, {count})"
        here = f"c * {features} + {feature}"
        place = f"sums + part * {clusters * features}L + {here}"
        return f"""    const vf before = {load.format(f"old + {here}")};
    vf now = {{0}};
    for (int part = 0; part < {parts}; part++) now += {load.format(place)};
    now = rows ? now / taut_splat(count) : before;
    away += (now - before) * (now - before);
    taut_store_part(centroids + {here}, now, {count});"""

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        old = read(self.old).astype(np.float64)
        rows = read(self.counts).sum(axis=0)[:, None]
        total = read(self.sums).astype(np.float64).sum(axis=0)
        new = np.where(rows > 0, total / np.maximum(rows, 1), old)
        return new.astype(np.float32), ((new - old) ** 2).sum(axis=1).astype(np.float32)
