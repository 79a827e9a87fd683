"""``taut nets``: the networks that come with Taut."""

from __future__ import annotations


def nets() -> None:
    """List the networks that ``taut:NAME`` can name."""
    from taut.nets import NETS

    for name in NETS:
        print(f"taut:{name}")
