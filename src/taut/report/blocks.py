"""Building blocks of the page: sections, notes, legends, and tables whose every figure shows its kind.

A table scrolls inside a box of its own, so that the page never does sideways.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taut.core.figures import Figure
from taut.report.markup import Html, element
from taut.report.wording import NOTHING, figure_detail, figure_text


def section(title: str, *content: object) -> Html:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *content)


def note(*words: object) -> Html:
    """What a drawing or table shows, and how to read it."""
    return element("p", *words, class_="note")


def legend(*entries: tuple[str, str]) -> Html:
    """Explain marks; each is given by its class, ``key`` for an area."""
    return element("p", *[_key(kind, words) for kind, words in entries], class_="legend")


def _key(kind: str, words: str) -> Html:
    mark = (
        element("rect", x=0.5, y=0.5, width=17, height=11, class_=kind)
        if kind == "key"
        else element("circle", cx=6, cy=6, r=4.5, class_=kind)
    )
    picture = element("svg", mark, width=18 if kind == "key" else 12, height=12)
    return element("span", picture, words, class_="key")


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


def name_cell(name: str, *below: str) -> Html:
    """A name that may be long and come from anywhere: it wraps anywhere; words about it below."""
    small = [element("small", words) for words in below if words]
    return element("th", element("span", name, class_="given"), *small, scope="row", class_="names")
