"""Forest: trees as flat arrays, walked by several rows at once, dealt to groups that keep votes of their own.

The random forest of Tabanelli et al. (arXiv 2107.09448): trees are distributed, votes merged. Theirs go into
one array by atomic additions; here each group has its own and a reduction merges them, so that no bit depends
on who was first. Leaves lead to themselves, so that rows need not agree on how deep a tree is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from taut.kernels.base import Code, Read
from taut.kernels.loops import indented, pointer
from taut.kernels.target import Target
from taut.kernels.view import View

_BLOCK = 256
"""Rows that stay in the cache from one tree to the next"""
_TOGETHER = 8
"""Rows that walk at once: each step waits for a load, which others fill"""


@dataclass(frozen=True, eq=False)
class Trees:
    """Nodes of all trees, one after the other, and where each tree begins.

    A row goes from node i to ``left[i]``, or where ``x[feature[i]] > threshold[i]`` to its neighbour
    ``left[i] + 1``. A leaf has threshold infinity and is its own ``left``.
    """

    feature: np.ndarray
    """int32"""
    threshold: np.ndarray
    """float32"""
    left: np.ndarray
    """int32"""
    answer: np.ndarray
    """int32: of each leaf, the row of ``answers`` that it votes for"""
    answers: np.ndarray
    """float32 (different answers, classes)"""
    roots: np.ndarray
    """int32, one for each tree"""

    @cached_property
    def depth(self) -> float:
        """Nodes on the way to a leaf, on average over leaves of all trees."""
        depths = np.zeros(len(self.left), np.int64)
        is_inner = self.left != np.arange(len(self.left))
        for node in np.flatnonzero(is_inner):
            depths[self.left[node] : self.left[node] + 2] = depths[node] + 1
        return float(depths[~is_inner].mean())


@dataclass(frozen=True)
class Forest:
    """Let the trees of every group vote on x (rows, features): votes (groups, rows, classes), row-major.

    Tree t belongs to group t modulo groups: cyclic, since depths differ. Units are groups within blocks:
    where rows are many each thread keeps to its own, where they are few the trees are divided.
    """

    votes: View
    x: View
    trees: Trees
    name: str = "forest"
    precision: str = "float32"

    @property
    def reads(self) -> tuple[View, ...]:
        return (self.x,)

    @property
    def writes(self) -> tuple[View, ...]:
        return (self.votes,)

    @property
    def multiply_adds(self) -> int:
        classes = self.trees.answers.shape[1]
        return int(self.x.shape[0] * len(self.trees.roots) * (self.trees.depth + classes))

    def code(self, _target: Target, /) -> Code:
        groups, rows, classes = self.votes.shape
        blocks = -(-rows // _BLOCK)
        body = f"""for (long unit = begin; unit < end; unit++) {{
  const long group = unit % {groups}, from = unit / {groups} * {_BLOCK};
  const long to = {rows} - from < {_BLOCK} ? {rows} : from + {_BLOCK}, whole = to - (to - from) % {_TOGETHER};
  float *mine = votes + group * {rows * classes};
  memset(mine + from * {classes}, 0, (to - from) * {4 * classes});
  for (long tree = group; tree < {len(self.trees.roots)}; tree += {groups}) {{
    for (long i = from; i < whole; i += {_TOGETHER}) {{
{indented(indented(indented(self._walk(_TOGETHER))))}
    }}
    for (long i = whole; i < to; i++) {{
{indented(indented(indented(self._walk(1))))}
    }}
  }}
}}"""
        trees = self.trees
        arrays = (trees.feature, trees.threshold, trees.left, trees.answer, trees.answers, trees.roots)
        parameters = (
            pointer(self.votes, "votes", is_written=True),
            pointer(self.x, "x"),
            "const int *feature",
            "const float *threshold",
            "const int *left",
            "const int *answer",
            "const float *answers",
            "const int *roots",
        )
        return Code(parameters, (self.votes, self.x, *arrays), body, blocks * groups)

    def _walk(self, together: int) -> str:
        """Lead some neighbouring rows from a root to their leaves, and add what those say."""
        classes, row = self.trees.answers.shape[1], self.x.strides[0]
        return f"""int at[{together}], has_moved;
#pragma GCC unroll {together}
for (int r = 0; r < {together}; r++) at[r] = roots[tree];
do {{
  has_moved = 0;
  #pragma GCC unroll {together}
  for (int r = 0; r < {together}; r++) {{
    const int here = at[r];
    at[r] = left[here] + (x[(i + r) * {row} + feature[here]] > threshold[here]);
    has_moved |= at[r] ^ here;
  }}
}} while (has_moved);
#pragma GCC unroll {together}
for (int r = 0; r < {together}; r++) {{
  const float *said = answers + answer[at[r]] * {classes};
  for (int c = 0; c < {classes}; c++) mine[(i + r) * {classes} + c] += said[c];
}}"""

    def reference(self, read: Read) -> tuple[np.ndarray, ...]:
        x, trees = read(self.x), self.trees
        groups, rows, classes = self.votes.shape
        votes = np.zeros((groups, rows, classes))
        for tree, root in enumerate(trees.roots):
            at = np.full(rows, root)
            before = np.full(rows, -1)
            while not np.array_equal(at, before):
                before = at
                at = trees.left[at] + (x[np.arange(rows), trees.feature[at]] > trees.threshold[at])
            votes[tree % groups] += trees.answers[trees.answer[at]]
        return (votes.astype(np.float32),)
