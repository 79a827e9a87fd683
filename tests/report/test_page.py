"""The page is judged as text, and once in a real browser at phone width."""

from __future__ import annotations

import html
import math
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.report.sample_run import sample_run

from taut.core.errors import EnvironmentFailed
from taut.core.figures import Modelled, Predicted
from taut.report.data import ReportData
from taut.report.page import render, write_report

_BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--window-size=800,1200",
    "--virtual-time-budget=4000",
    "--dump-dom",
)
_VOID = {"meta", "br"}

# The page sits in a frame as wide as a phone; what the browser found is written into the outer page.
_PROBE = """
<!doctype html><body><iframe id="phone" style="width:390px;height:844px;border:0" srcdoc="PAGE"></iframe>
<dl id="found"></dl><script>
document.getElementById("phone").addEventListener("load", () => {
  const page = document.getElementById("phone").contentDocument;
  const found = (name, value) => {
    document.getElementById("found").insertAdjacentHTML("beforeend", `<dd id="${name}">${value}</dd>`);
  };
  for (const part of page.querySelectorAll("details")) part.open = true;
  const drawn = [...page.querySelectorAll("svg.plot")].filter(
    (plot) => plot.getBoundingClientRect().height > 40 && plot.getBoundingClientRect().width > 250);
  found("plots", drawn.length);
  found("overflow", page.documentElement.scrollWidth - page.documentElement.clientWidth);
  found("images", page.querySelectorAll("img").length);
  page.querySelector("circle[data-tip]").dispatchEvent(
    new page.defaultView.PointerEvent("pointerover", {bubbles: true}));
  found("tip", page.getElementById("tip").hidden ? "hidden" : "shown");
});
</script></body>
"""


class _Balance(HTMLParser):
    """Checks that every element is closed in order, and that none points outside."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {name for name, _ in attrs} & {"src", "href", "onerror", "onclick"}
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("data", [sample_run(), sample_run(False), sample_run(hostile=True)])
def test_page_is_well_formed_and_needs_nothing_from_outside(data: ReportData) -> None:
    page = render(data)
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert "http:" not in page and "https:" not in page and "@import" not in page and "url(" not in page


def test_page_stays_small() -> None:
    assert len(render(sample_run()).encode()) < 200_000


def test_page_escapes_hostile_names() -> None:
    page = render(sample_run(hostile=True))
    assert page.count("<script>") == 1
    assert "<img" not in page and "\x1b" not in page and "\u202e" not in page
    assert "\\x1b[31m\\u202e" in page


def test_page_puts_the_verdict_first() -> None:
    page = render(sample_run(False))
    words = [
        "Not met",
        "The budget",
        "The measured front",
        "Predicted against measured",
        "Best against original",
    ]
    words += ["Layer by layer", "<h2>Quality", "Evidence", "Environment", "How to get this again"]
    places = [page.index(word, page.index("<body>")) for word in words]
    assert places == sorted(places)


def test_page_shows_the_kind_of_every_figure() -> None:
    data = sample_run()
    original = replace(data.original, p99=Modelled(5.0, "ms", "edge.toml"), p50=Predicted(4, 3, 5, "ms", 0.1))
    page = render(replace(data, original=original))
    assert "modelled, edge.toml" in page
    assert "held-out error 10%, predicted" in page
    cells = re.findall(r'<td class="figure">(.*?)</td>', page)
    assert len(cells) > 40
    assert all(re.search("measured|predicted|modelled|^–$", cell) for cell in cells)


def test_page_of_intervals_without_an_end_is_whole() -> None:
    data = sample_run()
    assert data.proof is not None and data.quality is not None and data.quality.drop is not None
    proof = replace(data.proof, ratio=replace(data.proof.ratio, low=0.0, high=math.inf), noise_floor=math.inf)
    quality = replace(data.quality, drop=replace(data.quality.drop, low=-math.inf, high=math.inf))
    page = render(replace(data, proof=proof, quality=quality))
    assert "0 to ∞" in page and "-∞ to ∞" in page
    assert not re.search(r'="-?(inf|nan)', page)


def test_page_of_a_bare_run_leaves_out_what_is_not_there() -> None:
    data = sample_run(None)
    bare = ReportData(data.title, "stopped", None, data.budget, data.original, data.reproduce)
    page = render(bare)
    assert "Undecided" in page
    for heading in ("measured front", "Layer by layer", "Evidence", "Predicted against"):
        assert heading not in page


def test_write_report_names_the_path_when_the_disk_refuses(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="report"):
        write_report(sample_run(), tmp_path / "missing" / "report.html")


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("hostile", [False, True])
def test_browser_draws_every_plot_on_a_phone_without_a_complaint(tmp_path: Path, hostile: bool) -> None:
    page = _PROBE.replace("PAGE", html.escape(render(sample_run(hostile=hostile)), quote=True))
    (tmp_path / "probe.html").write_text(page, encoding="utf-8")
    dom, log = _browse(tmp_path / "probe.html", tmp_path / "profile")
    found = dict(re.findall(r'<dd id="(\w+)">(\w+)</dd>', dom))
    assert found == {"plots": "5", "overflow": "0", "images": "0", "tip": "shown"}
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []


def _browse(page: Path, profile: Path) -> tuple[str, str]:
    assert _BROWSER is not None
    done = subprocess.run(
        [_BROWSER, *_FLAGS, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(profile)},
        check=True,
    )
    return done.stdout, done.stderr
