"""The README's tree, the folders on the disk and the order of imports agree; documents name what exists."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_imports import TIER_OF

_ROOT = Path(__file__).parent.parent
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_PACKAGE = _ROOT / "src" / "taut"


def _listed() -> list[str]:
    tree = _README.split("```\nsrc/taut/\n")[1].split("```")[0]
    return re.findall(r"^  (\w+)/ +\S", tree, flags=re.MULTILINE)


def test_readme_lists_every_package_once() -> None:
    on_disk = {path.parent.name for path in _PACKAGE.glob("*/__init__.py")}
    assert sorted(_listed()) == sorted(on_disk)


def test_every_folder_with_code_is_a_package_with_a_docstring() -> None:
    folders = {path.parent for path in _PACKAGE.rglob("*.py")}
    for folder in folders:
        opening = (folder / "__init__.py").read_text(encoding="utf-8")
        assert opening.startswith('"""'), f"{folder} does not say what it is for"


def test_readme_lists_packages_in_the_order_of_imports() -> None:
    places = [TIER_OF[name] for name in _listed()]
    assert places == sorted(places)


def test_every_link_in_the_documents_leads_somewhere() -> None:
    pages = [*_ROOT.glob("*.md"), *(_ROOT / "docs").glob("*.md")]
    assert len(pages) >= 3
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_documents_name_only_files_that_exist() -> None:
    page = _ROOT / "docs" / "architecture.md"
    named = set(re.findall(r"`((?:\w+/)+\w+\.\w+)`", page.read_text(encoding="utf-8")))
    assert len(named) > 20
    missing = [name for name in sorted(named) if not (_PACKAGE / name).exists()]
    assert missing == []
