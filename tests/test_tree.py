"""The README's tree, the folders on the disk and the direction of imports say the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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


def _imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _edges(below: Path, package: str) -> set[tuple[str, str]]:
    """(importing, imported) folders among those directly in a package."""
    return {
        (path.relative_to(below).parts[0], name.removeprefix(f"{package}.").split(".")[0])
        for path in below.glob("*/**/*.py")
        for name in _imports(path)
        if name.startswith(f"{package}.")
    }


def test_packages_import_only_those_listed_above_them() -> None:
    order = {name: place for place, name in enumerate(_listed())}
    edges = {edge for edge in _edges(_PACKAGE, "taut") if edge[0] != edge[1]}
    assert ("fit", "report") in edges
    upward = [f"{user} imports {used}" for user, used in sorted(edges) if order[used] > order[user]]
    assert upward == []


def test_families_of_moves_do_not_import_each_other() -> None:
    families = {path.parent.name for path in (_PACKAGE / "moves").glob("*/__init__.py")}
    edges = _edges(_PACKAGE / "moves", "taut.moves")
    assert {user for user, _ in edges} <= families
    assert [edge for edge in sorted(edges) if edge[0] != edge[1]] == []


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
