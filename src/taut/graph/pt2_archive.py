"""Checks of a ``torch.export`` archive before torch opens it.

torch.export.load unpickles what its configurations mark so, falls back to unrestricted unpickling for the
example inputs, evaluates expressions of dynamic sizes, loads compiled code, and resolves any name below
``torch`` as an operator. An archive with static shapes needs none of these, so whatever would lead there is
refused; what passes is tensors as raw bytes and a program over ATen's operators.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from taut.core.errors import BadInput

_EXPECTED = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id|alignment)|extra/.*"
    r"|models/[^/]+\.json|data/sample_inputs/[^/]+\.pt"
    r"|data/weights/(weight_\d+|[^/]+_weights_config\.json)"
    r"|data/constants/(tensor_\d+|[^/]+_constants_config\.json)"
)
_SPECIAL_METHODS = "and|or|xor|lshift|rshift"
_FUNCTIONS = "getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_"
_OPERATORS = re.compile(
    rf"torch\.ops\.(aten|prims|quantized_decomposed)\.((?!__)\w+|__({_SPECIAL_METHODS})__)\.(?!__)\w+"
    rf"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)|_operator\.({_FUNCTIONS})"
)
_NAME = re.compile(r"[\w.]*")
_EVALUATED = {"expr_str", "as_expr", "as_operator", "as_custom_obj"}
_EXECUTED_LISTS = ("guards_code", "range_constraints", "custom_obj_values")
_WAY_OUT = "export it with static shapes and plain tensors and save it again, or export it to ONNX"


class _UnsafeArchive(Exception):
    """What in the archive would run code."""


def refuse_unsafe_archive(path: Path) -> None:
    """Raise BadInput unless the file is a torch.export archive of tensors and a static program only."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive)
    except _UnsafeArchive as error:
        raise BadInput(str(path), f"{error}, which can run code when it is opened", _WAY_OUT) from error
    except FileNotFoundError as error:
        raise BadInput(str(path), "does not exist", "give the path of a .pt2 file") from error
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
        rule = f"is not a torch.export archive ({error})"
        raise BadInput(str(path), rule, "save it with torch.export.save of torch 2.8 or later") from error


def _check_archive(archive: zipfile.ZipFile) -> None:
    root = archive.namelist()[0].partition("/")[0] if archive.namelist() else ""
    if archive.read(f"{root}/archive_format") != b"pt2":
        raise ValueError("its format is not pt2")
    names = [name.removeprefix(f"{root}/") for name in archive.namelist()]
    if len({name.lower() for name in names}) < len(names):
        raise _UnsafeArchive("has two files of one name")  # torch might read the other one
    for name in names:
        if not _EXPECTED.fullmatch(name):
            raise _UnsafeArchive(f"holds {name}")
        _check_file(name, archive.read(f"{root}/{name}"))


def _check_file(name: str, content: bytes) -> None:
    if name.endswith("_config.json"):
        _check_payloads(name, json.loads(content))
    elif name.startswith("models/"):
        _check_program(name, json.loads(content))
    elif name.endswith(".pt"):
        _check_tensors(name, content)


def _check_payloads(name: str, config: dict[str, Any]) -> None:
    for entry, payload in config["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise _UnsafeArchive(f"{name} has {entry} as a pickled object")


def _check_tensors(name: str, content: bytes) -> None:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise _UnsafeArchive(f"{name} is a pickle of more than tensors") from error


def _check_program(name: str, program: dict[str, Any]) -> None:
    for key, item in _entries(program):
        if key in _EVALUATED or (key in _EXECUTED_LISTS and item):
            raise _UnsafeArchive(f"{name} has dynamic sizes or custom objects ({key})")
        if key == "target" and not _OPERATORS.fullmatch(str(item)):
            raise _UnsafeArchive(f"{name} calls {item}")
        if key.endswith("name") and isinstance(item, str) and not _NAME.fullmatch(item):
            raise _UnsafeArchive(f"{name} uses {item!r} as a name")


def _entries(item: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested JSON objects with its value."""
    pending = [item]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield from item.items()
            pending += item.values()
        elif isinstance(item, list):
            pending += item
