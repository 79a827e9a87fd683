"""Lazy registries: loaded when asked, unknown names and missing packages in one clear line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taut.core.errors import BadInput
from taut.core.registry import Registry


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    (tmp_path / "present_part.py").write_text("def build():\n    return 'built'\n")
    (tmp_path / "needy_part.py").write_text("import package_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry("runtime")
    registry.register("present", "present_part:build")
    registry.register("needy", "needy_part:build", extra="openvino")
    registry.register("broken", "needy_part:build")
    return registry


def test_load_imports_only_when_asked(family: Registry) -> None:
    assert "present_part" not in sys.modules
    assert list(family) == ["present", "needy", "broken"]
    assert "present" in family and "absent" not in family
    assert family.load("present")() == "built"
    assert sys.modules.pop("present_part")


def test_unknown_name_is_refused_with_the_names_that_exist(family: Registry) -> None:
    with pytest.raises(BadInput, match=r"runtime 'tensorrt': is not known; one of: present, needy, broken"):
        family.load("tensorrt")


def test_missing_package_names_the_extra_to_install(family: Registry) -> None:
    with pytest.raises(BadInput, match=r"'package_that_is_not_there'.*pip install 'taut\[openvino\]'"):
        family.load("needy")


def test_missing_package_without_an_extra_is_a_bug_not_bad_input(family: Registry) -> None:
    with pytest.raises(ModuleNotFoundError):
        family.load("broken")


def test_missing_module_of_our_own_is_a_bug_not_bad_input() -> None:
    registry = Registry("move")
    registry.register("gone", "taut.no_such_module:Thing", extra="train")
    with pytest.raises(ModuleNotFoundError):
        registry.load("gone")


def test_installed_leaves_out_what_cannot_be_imported(family: Registry) -> None:
    del family.entries["broken"]
    assert family.installed() == ["present"]


def test_name_cannot_be_registered_twice(family: Registry) -> None:
    with pytest.raises(AssertionError, match="registered twice"):
        family.register("present", "elsewhere:build")
