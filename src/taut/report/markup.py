"""HTML and SVG built from elements that escape every text they are given; only ``Html`` passes unescaped."""

from __future__ import annotations

import html

from taut.report.wording import visible


class Html(str):
    """Text that is already markup."""


def escape(text: object) -> Html:
    """Escape a text for content or attribute, with control characters spelled out."""
    return Html(html.escape(visible(str(text)), quote=True))


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """Build one element; children and attributes that are None are left out.

    ``class_`` becomes ``class`` and an underscore inside an attribute's name a hyphen.
    """
    opening = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{join(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("meta", "br"):
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Concatenate children, escaping those that are not markup."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(child) for child in children if child is not None
        )
    )


def lines(*texts: str) -> Html:
    """Put texts below one another inside an attribute; a line break within one of them is spelled out."""
    return Html("&#10;".join(escape(text) for text in texts))
