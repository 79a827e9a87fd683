"""The k smallest of each row by partial selection, kept privately by parts of the row, and the vote.

The k-NN of Tabanelli et al. (arXiv 2107.09448): the training set is divided, every part keeps the k nearest
that it has seen, one merges them and counts. A row may come in pieces; a part goes on with its list from
piece to piece. Among equal distances the lower number wins, so that the result does not depend on the
division.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.loops import pointer
from taut.kernels.target import Target
from taut.kernels.view import View

NOBODY = 2**31 - 1
"""Number in a place of a list that nobody has taken yet"""


@dataclass(frozen=True)
class KBest:
    """Merge a piece of distances (rows, columns) into lists of the k smallest, best and who (parts, rows, k).

    Lists are sorted. All views are row-major.
    """

    best: View
    who: View
    """int32: ``first`` + column"""
    distances: View
    first: int
    is_start: bool
    """Lists are empty before this piece"""
    name: str = "k_best"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.distances,) if self.is_start else (self.distances, self.best, self.who)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.best, self.who)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.distances.shape)

    def code(self, _target: Target, /) -> Code:
        parts, rows, k = self.best.shape
        columns = self.distances.shape[1]
        empty = f"for (int j = 0; j < {k}; j++) mine[j] = __builtin_inff(), names[j] = {NOBODY};"
        body = f"""for (long unit = begin; unit < end; unit++) {{
  const long part = unit / {rows}, to = {columns} * (part + 1) / {parts};
  float *mine = best + unit * {k};
  int *names = who + unit * {k};
  const float *row = distances + unit % {rows} * {self.distances.strides[0]};
  {empty if self.is_start else ""}
  for (long e = {columns} * part / {parts}; e < to; e += LANES) {{
    const int count = to - e < LANES ? to - e : LANES;
    const vf away = taut_first(-taut_load_part(row + e, count), taut_splat(-__builtin_inff()), count);
    /* Most vectors hold nothing that is near enough. */
    if (!(taut_max_lanes(away) > -mine[{k - 1}])) continue;
    for (int i = 0; i < count; i++) {{
      const float distance = row[e + i];
      if (!(distance < mine[{k - 1}])) continue;
      int j = {k - 1};
      for (; j > 0 && mine[j - 1] > distance; j--) mine[j] = mine[j - 1], names[j] = names[j - 1];
      mine[j] = distance;
      names[j] = first + e + i;
    }}
  }}
}}"""
        parameters = (
            pointer(self.best, "best", is_written=True),
            pointer(self.who, "who", is_written=True),
            pointer(self.distances, "distances"),
            "const int *numbers",
        )
        arguments = (self.best, self.who, self.distances, np.array([self.first], np.int32))
        return Code(parameters, arguments, f"const int first = numbers[0];\n{body}", parts * rows)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        parts, rows, k = self.best.shape
        columns = self.distances.shape[1]
        best, who = np.full((parts, rows, k), np.inf, np.float32), np.full((parts, rows, k), NOBODY, np.int32)
        if not self.is_start:
            best, who = read(self.best).copy(), read(self.who).copy()
        numbers = np.arange(columns, dtype=np.int32) + self.first
        for part in range(parts):
            piece = slice(columns * part // parts, columns * (part + 1) // parts)
            seen = np.concatenate([best[part], read(self.distances)[:, piece]], axis=1)
            names = np.concatenate(
                [who[part], np.broadcast_to(numbers[piece], (rows, piece.stop - piece.start))], 1
            )
            order = np.lexsort((names, seen), axis=1)[:, :k]
            best[part], who[part] = np.take_along_axis(seen, order, 1), np.take_along_axis(names, order, 1)
        return best, who


@dataclass(frozen=True)
class Vote:
    """Merge the sorted lists of all parts into one, and let its members vote: out (rows,) of int32.

    A tie goes to the lowest class, as in scikit-learn.
    """

    out: View
    best: View
    who: View
    classes: np.ndarray
    """Class of each number, int32"""
    name: str = "vote"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.best, self.who)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.out,)

    @property
    def multiply_adds(self) -> int:
        return math.prod(self.best.shape)

    def code(self, _target: Target, /) -> Code:
        parts, rows, k = self.best.shape
        count = int(self.classes.max()) + 1
        body = f"""for (long row = begin; row < end; row++) {{
  int taken[{parts}] = {{0}}, votes[{count}] = {{0}}, most = 0;
  for (int turn = 0; turn < {k}; turn++) {{
    long next = -1;
    int from = 0;
    for (int part = 0; part < {parts}; part++) {{
      const long place = (part * {rows}L + row) * {k} + taken[part];
      if (taken[part] == {k} || who[place] == {NOBODY}) continue;
      if (next < 0 || best[place] < best[next] || (!(best[next] < best[place]) && who[place] < who[next]))
        next = place, from = part;
    }}
    if (next < 0) break;
    taken[from]++;
    votes[classes[who[next]]]++;
  }}
  for (int c = 1; c < {count}; c++) most = votes[c] > votes[most] ? c : most;
  out[row] = most;
}}"""
        parameters = (
            pointer(self.out, "out", is_written=True),
            pointer(self.best, "best"),
            pointer(self.who, "who"),
            "const int *classes",
        )
        return Code(parameters, (self.out, self.best, self.who, self.classes), body, rows)

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        best, who = (np.moveaxis(read(view), 0, 1) for view in (self.best, self.who))
        rows, parts, k = best.shape
        best, who = best.reshape(rows, parts * k), who.reshape(rows, parts * k)
        order = np.lexsort((who, best), axis=1)[:, :k]
        nearest = np.take_along_axis(who, order, 1)
        voters = [self.classes[row[row != NOBODY]] for row in nearest]
        return (np.array([np.bincount(row).argmax() for row in voters], np.int32),)
