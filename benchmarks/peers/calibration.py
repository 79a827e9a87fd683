"""What the peers' tools calibrate on: whole feeds of the network, recurrent state included."""

from __future__ import annotations

from peers.base import Case
from peers.runners import OnnxRuntimeRunner
from taut.core.task import Arrays


def calibration_feeds(case: Case) -> list[Arrays]:
    """Return the inputs of each calibration step; recurrent state is what the original has at that step."""
    items = case.calibration_items()
    if not case.network.feedback:
        return [item.inputs for item in items]
    runner = OnnxRuntimeRunner(str(case.file), case.threads, case.outputs, case.network.feedback)
    runner.open()
    feeds = []
    for item in items:
        feeds.append(runner.state.feed(item))
        runner.run(item)
    runner.close()
    return feeds
