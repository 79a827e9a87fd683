"""``taut doctor``: what is installed here, what is missing, and whether it works."""

from __future__ import annotations

import typer

from taut.core.errors import Exit


def doctor() -> None:
    """Check Python, packages, runtimes, moves and data; exit code 6 where something needed is broken."""
    from taut.fit.doctor import examine

    checks = examine()
    for check in checks:
        print(
            f"{'ok     ' if check.is_fine else 'missing' if check.is_optional else 'BROKEN '}  {check.line}"
        )
    is_broken = any(not check.is_fine and not check.is_optional for check in checks)
    raise typer.Exit(int(Exit.ENVIRONMENT if is_broken else Exit.YES))
