"""Imports point one way: a map of tiers, no cycles, core alone, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

TIERS = (
    ("core",),
    ("graph", "report"),
    ("devices", "kernels", "hardware"),
    ("runtimes",),
    ("measure",),
    ("predict",),
    ("tasks", "train", "nets"),
    ("moves",),
    ("search",),
    ("adaptive", "split", "lm", "serve", "diffusion", "learn", "retrieval", "guard", "nonneural"),
    ("fit",),
    ("systems",),
    ("cli",),
)
"""A package imports its own tier and those before it."""
TIER_OF = {package: place for place, tier in enumerate(TIERS) for package in tier}

EXTRAS = {
    "torch",
    "onnxscript",
    "sklearn",
    "safetensors",
    "PIL",
    "openvino",
    "transformers",
    "timm",
    "nncf",
    "torch_pruning",
}
"""Packages of the optional extras: Taut fits an ONNX file without them."""
HEAVY = EXTRAS | {"onnx", "onnxruntime", "scipy", "sqlalchemy", "optuna", "plotly", "ml_dtypes"}
LIGHT_DOORS = ("taut", "taut.cli", "taut.runtimes", "taut.tasks", "taut.nets", "taut.moves", "taut.search")
"""Modules that load nothing heavy: names and factories only"""


@dataclass(frozen=True)
class Edge:
    """One import statement's target, as a dotted name."""

    user: str
    used: str
    is_lazy: bool
    """Inside a function, so that it runs only when that is called"""


def modules(source: Path) -> dict[str, Path]:
    """Modules of ours by dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def edges(source: Path) -> list[Edge]:
    """Every import of every module; ``if TYPE_CHECKING`` counts as lazy, a relative import is refused."""
    known = modules(source)
    return [
        Edge(user, _module_of(used, known), is_lazy)
        for user, path in known.items()
        for used, is_lazy in _imports(ast.parse(path.read_text(encoding="utf-8")).body, False)
    ]


def _imports(body: list[ast.stmt], is_lazy: bool) -> Iterator[tuple[str, bool]]:
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from ((alias.name, is_lazy) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0 and statement.module, "imports are absolute"
            yield from ((f"{statement.module}.{alias.name}", is_lazy) for alias in statement.names)
        else:
            inside = is_lazy or isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            inside = inside or (
                isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
            )
            yield from _imports(
                [node for node in ast.iter_child_nodes(statement) if _holds_code(node)], inside
            )


def _holds_code(node: ast.AST) -> bool:
    return isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case))


def _module_of(name: str, known: dict[str, Path]) -> str:
    """Cut an imported name down to the module of ours that holds it; others stay."""
    while name.startswith("taut.") and name not in known:
        name = name.rpartition(".")[0]
    return name


def package_of(module: str) -> str:
    """``taut.graph.ir`` -> ``graph``; the package itself and others' modules have none."""
    parts = module.split(".")
    return parts[1] if parts[0] == "taut" and len(parts) > 1 else ""


def backward(found: list[Edge]) -> list[str]:
    """Imports from a tier to one after it."""
    ours = [edge for edge in found if package_of(edge.user) and package_of(edge.used)]
    return [
        f"{edge.user} imports {edge.used}"
        for edge in ours
        if TIER_OF[package_of(edge.used)] > TIER_OF[package_of(edge.user)]
    ]


def cycle(pairs: set[tuple[str, str]]) -> list[str]:
    """One cycle among the pairs (user, used), or nothing."""
    graph: dict[str, set[str]] = {}
    for user, used in pairs:
        if user != used:
            graph.setdefault(user, set()).add(used)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def loaded_by(door: str, found: list[Edge], known: dict[str, Path]) -> dict[str, str]:
    """Everything that importing a module imports, each with the module that asked for it."""
    reached, pending = {door: ""}, [door]
    while pending:
        user = pending.pop()
        parents = [user.rpartition(".")[0]] if user in known and "." in user else []
        used = [edge.used for edge in found if edge.user == user and not edge.is_lazy]
        for name in (*parents, *used):
            if name not in reached:
                reached[name] = user
                pending.append(name)
    return reached


EDGES = edges(SOURCE)
MODULES = modules(SOURCE)


def test_every_package_has_its_place_in_the_tiers() -> None:
    packages = {path.name for path in (SOURCE / "taut").iterdir() if (path / "__init__.py").exists()}
    assert {"core", "graph", "tasks", "fit"} <= packages
    assert packages <= set(TIER_OF)


def test_no_package_imports_one_of_a_later_tier() -> None:
    assert any(package_of(edge.user) == "fit" and package_of(edge.used) == "moves" for edge in EDGES)
    assert backward(EDGES) == []


def test_packages_form_no_cycle() -> None:
    pairs = {(package_of(edge.user), package_of(edge.used)) for edge in EDGES if package_of(edge.used)}
    assert cycle({(user, used) for user, used in pairs if user}) == []


def test_modules_form_no_cycle_when_they_are_imported() -> None:
    assert cycle({(edge.user, edge.used) for edge in EDGES if not edge.is_lazy}) == []


def test_core_imports_nothing_of_ours_and_only_numpy_of_others() -> None:
    used = {edge.used for edge in EDGES if package_of(edge.user) == "core"}
    assert {name for name in used if package_of(name) not in ("", "core")} == set()
    others = {name.split(".")[0] for name in used} - {"taut"} - set(sys.stdlib_module_names)
    assert others == {"numpy"}


def test_families_of_moves_do_not_import_each_other() -> None:
    between = [
        f"{edge.user} imports {edge.used}"
        for edge in EDGES
        if edge.user.count(".") >= 2 and edge.user.startswith("taut.moves.")
        if edge.used.startswith("taut.moves.") and edge.used.split(".")[2] != edge.user.split(".")[2]
    ]
    assert between == []


def test_nothing_imports_a_system_but_the_command_line() -> None:
    users = {package_of(edge.user) for edge in EDGES if package_of(edge.used) == "systems"}
    assert users <= {"systems", "cli"}


def _heavy_paths(door: str, heavy: set[str]) -> list[str]:
    """How a door comes to load what it must not, one line each."""
    reached = loaded_by(door, EDGES, MODULES)
    return [f"{reached[name]} imports {name}" for name in reached if name.split(".")[0] in heavy]


@pytest.mark.parametrize("door", LIGHT_DOORS)
def test_door_loads_nothing_heavy(door: str) -> None:
    assert door in MODULES
    assert _heavy_paths(door, HEAVY) == []


@pytest.mark.parametrize(
    "door", ["taut.fit", "taut.fit.api", "taut.tasks.npz", "taut.tasks.quality", "taut.measure"]
)
def test_fitting_an_onnx_file_loads_no_optional_package(door: str) -> None:
    assert door in MODULES
    assert _heavy_paths(door, EXTRAS) == []


def _write(source: Path, files: dict[str, str]) -> list[Edge]:
    for name, text in files.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return edges(source)


def test_checks_find_what_they_are_for(tmp_path: Path) -> None:
    found = _write(
        tmp_path,
        {
            "taut/__init__.py": "",
            "taut/core/__init__.py": "",
            "taut/core/task.py": "def late():\n    from taut.fit import api\n",
            "taut/fit/__init__.py": "import taut.fit.api\n",
            "taut/fit/api.py": "import torch\nfrom taut.fit import loop\nfrom taut.core.task import Task\n",
            "taut/fit/loop.py": "try:\n    import taut.fit.api\nexcept ImportError:\n    raise\n",
            "taut/tasks/__init__.py": "if TYPE_CHECKING:\n    import torch\n\nclass A:\n    def f(self):\n"
            "        import torch\n",
        },
    )
    assert backward(found) == ["taut.core.task imports taut.fit.api"]
    assert set(cycle({(edge.user, edge.used) for edge in found if not edge.is_lazy})) >= {
        "taut.fit.api",
        "taut.fit.loop",
    }
    known = modules(tmp_path)
    assert loaded_by("taut.fit.loop", found, known)["torch"] == "taut.fit.api"
    assert "torch" not in loaded_by("taut.tasks", found, known)
    assert Edge("taut.tasks", "torch", True) in found


def test_relative_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="imports are absolute"):
        _write(tmp_path, {"taut/__init__.py": "from . import core\n"})
