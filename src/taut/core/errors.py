"""The errors a person sees: one line that says what was given, which rule it breaks, and the way out.

Everything else that escapes is a bug (exit code 1). The exit codes are those of all commands.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes shared by all commands."""

    YES = 0
    BUG = 1
    BAD_INPUT = 2
    NO = 3
    UNDECIDED = 4
    MODELLED = 5
    ENVIRONMENT = 6


class TautError(Exception):
    """An error that is shown as one line, without a traceback."""

    exit_code = Exit.BUG

    def __init__(self, given: str, rule: str, way_out: str) -> None:
        # A path or a message from a library may hold line breaks; the promise is one line.
        line = f"{given}: {rule}; {way_out}"
        super().__init__(" ".join(line.split()))


class BadInput(TautError):
    """The user's input breaks a rule."""

    exit_code = Exit.BAD_INPUT


class NotTheProvenPath(UserWarning):
    """A network runs, but otherwise than it was proven; one line that says how and why."""


class EnvironmentFailed(TautError):
    """The machine failed (disk, device, worker); the run can be resumed."""

    exit_code = Exit.ENVIRONMENT
