"""Tables whose every figure shows its interval and kind, and that scroll inside their own box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taut.core.figures import Figure
from taut.report.markup import Html, element
from taut.report.wording import NOTHING, figure_detail, figure_text


def table(head: Sequence[str], rows: Iterable[Html], kind: str = "") -> Html:
    """Build a table in a box of its own; the rows are ``row`` elements."""
    titles = element("tr", *[element("th", title, scope="col") for title in head])
    body = element("table", element("thead", titles), element("tbody", *rows), class_=kind or None)
    return element("div", body, class_="scroll", tabindex=0, role="region", aria_label=f"Table: {head[0]}")


def row(*cells: Html, kind: str = "") -> Html:
    return element("tr", *cells, class_=kind or None)


def head_cell(words: object) -> Html:
    return element("th", words, scope="row")


def cell(*words: object, kind: str = "") -> Html:
    return element("td", *words, class_=kind or None)


def figure_cell(figure: Figure | None) -> Html:
    """A figure with what stands behind it."""
    if figure is None:
        return cell(NOTHING, kind="figure")
    detail = element("small", figure_detail(figure), class_=figure.kind)
    return cell(element("b", figure_text(figure)), detail, kind="figure")


def name_cell(name: str, below: str = "") -> Html:
    """A name that may be long and come from anywhere: it wraps anywhere."""
    small = element("small", below) if below else None
    return element("th", element("span", name, class_="given"), small, scope="row", class_="names")
