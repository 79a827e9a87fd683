"""An artifact that is loaded: its stages run one after the other, values passed on by name.

It is a function of its inputs (``network(inputs)``: recurrent state is given or zero) and a Runner
(``run(item)``: recurrent state is carried from item to item until one starts a new sequence).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from taut.core.errors import EnvironmentFailed
from taut.core.quantities import P50, P99, PEAK_MEMORY, Quantity
from taut.core.runner import Item, Sample
from taut.core.task import Arrays
from taut.devices.local import local_device
from taut.runtimes import get_runtime
from taut.runtimes.base import NodeTime, Placed, Session
from taut.runtimes.inputs import check_inputs, filled
from taut.runtimes.manifest import Manifest, SavedStage
from taut.runtimes.placement import differences, summarise

_PROFILED_S, _MOST_PROFILED = 0.5, 300
"""Runs of a profile: as many as fill its time"""


class LoadedNetwork:
    """A network read from an artifact; sessions are opened by ``open`` or at the first call.

    network = load_artifact(Path("best"))
    outputs = network({"image": image})
    """

    quantities: tuple[Quantity, ...] = (P50, P99, PEAK_MEMORY)

    def __init__(self, manifest: Manifest, folder: Path, threads: int | None = None) -> None:
        self.manifest = manifest
        self.folder = folder
        self.threads = manifest.threads if threads is None else threads
        self._sessions: list[Session] = []
        self._state: dict[str, np.ndarray] = {}
        self._are_inputs_checked = False
        self._are_buffers_reused = False

    @property
    def is_proven_here(self) -> bool:
        """Whether the evidence was taken on such a device with these runtimes and as many threads."""
        manifest = self.manifest
        used = {saved.stage.runtime for saved in manifest.stages}
        return (
            manifest.device.fingerprint == local_device().fingerprint
            and self.threads == manifest.threads
            and all(manifest.versions.get(name) == get_runtime(name).version() for name in used)
        )

    def open(self) -> None:
        """Open every stage; without effect where they are open already."""
        if not self._sessions:
            self._sessions = [self._open_stage(saved) for saved in self.manifest.stages]
            self._are_buffers_reused = any(session.reuses_buffers for session in self._sessions)
            self._are_inputs_checked = False
            self._state = self._initial_state({})

    def _open_stage(self, saved: SavedStage) -> Session:
        files = [file.path for file in saved.files]
        return get_runtime(saved.stage.runtime).open(self.folder, files, saved.stage, self.threads)

    def close(self) -> None:
        """Close every stage; it can be opened again."""
        for session in self._sessions:
            session.close()
        self._sessions = []

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return the outputs by name. Recurrent state that is not given is zero; none is kept."""
        self.open()
        state = {name: array for name, array in self._zero_state.items() if name not in inputs}
        feed = {**inputs, **state}
        check_inputs(self.manifest.inputs, feed)
        return self._run_stages(feed)

    def run(self, item: Item) -> Sample:
        """Run an item after ``open``. Inputs are checked at the first one; later ones are taken as alike."""
        outputs = self._run_stages(self._feed(item))
        self._keep_state(outputs)
        return Sample(outputs)

    def profile(self, items: Sequence[Item]) -> list[NodeTime]:
        """Return the median time of every kernel of every stage over the items; slower than ``run``.

        Small networks go through the items again and again: their kernels take hundreds of runs to settle.
        """
        self.open()
        feeds, began_s = [], time.monotonic()
        for item in items:
            feeds.append(self._stage_feeds(item))
        each_s = (time.monotonic() - began_s) / len(items)
        runs = max(len(items), min(_MOST_PROFILED, int(_PROFILED_S / each_s)))
        self.close()  # idle pools that spin would slow down the session under the profiler
        times: list[NodeTime] = []
        for saved, stage_feeds in zip(self.manifest.stages, zip(*feeds, strict=True), strict=True):
            files = [file.path for file in saved.files]
            runtime = get_runtime(saved.stage.runtime)
            repeated = list(islice(cycle(stage_feeds), runs))
            times += runtime.profile(self.folder, files, saved.stage, self.threads, repeated)
        return times

    def _stage_feeds(self, item: Item) -> list[dict[str, np.ndarray]]:
        """Run an item and return what each stage was given."""
        values, feeds = self._feed(item), []
        for session, saved in zip(self._sessions, self.manifest.stages, strict=True):
            feeds.append({name: values[name] for name in saved.inputs})
            values.update({name: array.copy() for name, array in session.run(feeds[-1]).items()})
        self._keep_state(values)
        return feeds

    def _feed(self, item: Item) -> dict[str, np.ndarray]:
        if item.starts_sequence:
            self._state = self._initial_state(item.inputs)
        feed = {**item.inputs, **self._state}
        if not self._are_inputs_checked:
            check_inputs(self.manifest.inputs, feed)
            self._are_inputs_checked = True
        return feed

    def _keep_state(self, outputs: Arrays) -> None:
        self._state = {name: outputs[output] for output, name in self.manifest.feedback.items()}

    def placement(self) -> list[Placed]:
        """Return where every node of every stage ran, in order."""
        self.open()
        return [placed for session in self._sessions for placed in session.placement()]

    def stage_placements(self) -> list[dict[str, dict[str, int]]]:
        """Return the summary of each stage's placement."""
        self.open()
        return [summarise(session.placement()) for session in self._sessions]

    def check_placement(self) -> None:
        """Raise EnvironmentFailed where an operator runs elsewhere than it was proven, on a proven device."""
        if not self.is_proven_here:
            return
        for saved, here in zip(self.manifest.stages, self.stage_placements(), strict=True):
            for phrase in differences(saved.placement, here):
                raise EnvironmentFailed(str(self.folder), phrase, "fit the network again on this machine")

    def _run_stages(self, feed: Arrays) -> dict[str, np.ndarray]:
        values = dict(feed)
        for session, saved in zip(self._sessions, self.manifest.stages, strict=True):
            values.update(session.run({name: values[name] for name in saved.inputs}))
        if self._are_buffers_reused:
            return {name: values[name].copy() for name in self._output_names}
        return {name: values[name] for name in self._output_names}

    @cached_property
    def _output_names(self) -> Sequence[str]:
        return tuple(value.name for value in self.manifest.outputs)

    @cached_property
    def _zero_state(self) -> dict[str, np.ndarray]:
        fed = set(self.manifest.feedback.values())
        return filled([value for value in self.manifest.inputs if value.name in fed], 0)

    def _initial_state(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """State before a sequence: what its first item gives, else zeros."""
        return {name: inputs.get(name, zero) for name, zero in self._zero_state.items()}
