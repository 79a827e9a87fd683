"""One HTML file that shows a fit run, without a network: style, script and drawings are all inside.

The drawings are hand-written SVG, not plotly: the file is some 100 KB in place of 4.8 MB, sharp at any
width, and readable with scripts switched off; the price is no zooming. A content policy forbids every
outside address and every script but our own, whatever a node's name says.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from taut.core.errors import EnvironmentFailed
from taut.report.data import ReportData
from taut.report.markup import Html, element, join
from taut.report.sections import all_sections


def render(data: ReportData) -> str:
    """Return the whole page."""
    style, script = _resource("page.css"), _resource("page.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("title", f"{data.title}: {data.verdict}"),
        element("style", style),
    )
    body = element(
        "body",
        element("main", *all_sections(data)),
        element("div", id="tip", role="status", hidden="hidden"),
        element("script", script),
    )
    return join(Html("<!doctype html>\n"), element("html", head, body, lang="en"), Html("\n"))


def write_report(data: ReportData, path: Path) -> Path:
    """Write the page and return its path; EnvironmentFailed where the disk refuses."""
    try:
        path.write_text(render(data), encoding="utf-8")
    except OSError as error:
        raise EnvironmentFailed(f"report {path}", str(error), "free space or choose another --out") from error
    return path


def _resource(name: str) -> Html:
    return Html(resources.files("taut.report").joinpath(name).read_text(encoding="utf-8"))


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
