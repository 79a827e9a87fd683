"""Networks with dynamic sizes: compiled for the shapes that were foreseen, run by onnxruntime for all others.

The stage's option ``shapes`` lists them, as inputs have them in calibration or on request:
``{"shapes": [{"image": [1, 3, 320, 320]}, {"image": [1, 3, 640, 640]}]}``. Each is compiled when the network
is opened, so that no run waits for a compiler; it has an arena and weights of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from taut.core.task import Arrays
from taut.runtimes import base
from taut.runtimes.aot.session import Session
from taut.runtimes.base import Placed


class Buckets:
    """One session for each combination of shapes."""

    def __init__(self, sessions: Sequence[Session], open_other: Callable[[], base.Session]) -> None:
        self._sessions, self._open_other = sessions, open_other
        self._names = tuple(sessions[0].shapes)
        self._by_shapes = {tuple(session.shapes.values()): session for session in sessions}
        self.reuses_buffers = any(session.reuses_buffers for session in sessions)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return (self.bucket(inputs) or self._other).run(inputs)

    def bucket(self, inputs: Arrays) -> Session | None:
        """The session for the shapes of the inputs, if they were foreseen."""
        return self._by_shapes.get(tuple(inputs[name].shape for name in self._names))

    def placement(self) -> Sequence[Placed]:
        """Where nodes run in the first of the shapes."""
        return self._sessions[0].placement()

    def close(self) -> None:
        for session in self._sessions:
            session.close()
        if "_other" in self.__dict__:
            self._other.close()

    @cached_property
    def _other(self) -> base.Session:
        return self._open_other()
