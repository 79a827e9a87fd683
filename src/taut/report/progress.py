"""What a person sees while a fit runs: the stage, how far it is, the best so far and the time left.

Where the output is no terminal (a log, a pipe) each stage is one line and nothing is redrawn. It is
written to standard error, so that standard output stays the result's.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from taut.report.wording import visible


class FitProgress:
    """The display of one fit run, used as a context manager.

    with FitProgress(search_s=600) as show:
        show.stage("profile")                 # begins a stage, ends the one before
        show("conv_12", 0.4)                  # what is being done, share done: a core ``Progress``
        show.candidate("p50 1.18 ms, 4.1x faster", count=7)
    """

    def __init__(self, search_s: float | None = None, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._search_s = search_s
        self._started = time.monotonic()
        self._best = ""
        self._task: TaskID | None = None
        self._display = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[stage]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[status]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> FitProgress:
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()

    def stage(self, name: str) -> None:
        """Begin a stage; the one before is done."""
        if not self._console.is_terminal:
            self._console.print(f"taut: {visible(name)}", markup=False, highlight=False)
            return
        if self._task is not None:
            self._display.remove_task(self._task)
        self._task = self._display.add_task("", total=1.0, stage=escape(visible(name)), status=self._status())

    def __call__(self, what: str, share: float) -> None:
        """Show what is being done in the stage and which share of it is done, 0 to 1."""
        if self._task is not None:
            words = escape(_short(visible(what)))
            self._display.update(self._task, completed=share, description=words, status=self._status())

    def candidate(self, best: str, count: int) -> None:
        """Show the best so far and how many candidates were measured."""
        self._best = f"{count} measured, best {visible(best)}"
        if self._task is not None:
            self._display.update(self._task, status=self._status())

    def _status(self) -> str:
        return escape(", ".join(part for part in (self._best, self._time_left()) if part))

    def _time_left(self) -> str:
        if self._search_s is None:
            return ""
        left_s = max(self._search_s - (time.monotonic() - self._started), 0.0)
        return f"{int(left_s // 60)}:{int(left_s % 60):02d} left"


def _short(text: str, longest: int = 32) -> str:
    """Cut in the middle: both ends of a node's name tell something."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
