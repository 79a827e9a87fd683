"""The command line: one thin file per command, which parses, calls the API, prints and chooses the exit code.

Each command imports its part of Taut when it runs, so that ``taut --help`` stays quick.
"""

from __future__ import annotations

import sys

import typer

from taut.cli import data, devices, doctor, fit, nets, profile, prove, report, systems
from taut.core.errors import Exit, TautError

app = typer.Typer(
    name="taut",
    help="Make a neural network run inside a budget on this device, and prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("fit")(fit.fit)
app.command("prove")(prove.prove)
app.command("profile")(profile.profile)
app.command("devices")(devices.devices)
app.command("nets")(nets.nets)
app.command("systems")(systems.systems)
app.command("try")(systems.try_system)
app.command("report")(report.report)
app.command("data")(data.data)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; what a person did wrong is one line on stderr, never a traceback."""
    try:
        app()
    except TautError as error:
        print(f"taut: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        print("taut: interrupted before there was a result; --resume goes on from here", file=sys.stderr)
        sys.exit(int(Exit.UNDECIDED))
