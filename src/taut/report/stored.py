"""A report's data as plain JSON and back, so that a report can be written again without its run.

The dataclasses of ``report/data.py`` are the schema: fields are read by their declared types, and a file that
does not fit is refused.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from taut.core.errors import BadInput
from taut.core.figures import Measured, Modelled, Predicted, figure_from_json
from taut.report.data import ReportData

_FIGURES = (Measured, Predicted, Modelled)


def to_json(value: Any) -> Any:
    """Turn a report's data into plain JSON values; infinity becomes the text ``inf``."""
    if isinstance(value, _FIGURES):
        return to_json(value.to_json())
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def report_from_json(data: Any) -> ReportData:
    """Rebuild a report's data; BadInput where a field is missing or of another type."""
    try:
        report: ReportData = _read(ReportData, data)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            "report.json", f"does not fit this version ({error})", "run 'taut fit --resume'"
        ) from error
    return report


def _read(kind: Any, data: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, data)
    if kind in _FIGURES:
        return figure_from_json({key: _number(item) for key, item in data.items()})
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _read(hints[name], item) for name, item in data.items()})  # type: ignore[operator]
    if origin is tuple:
        kinds = arguments if Ellipsis not in arguments else (arguments[0],) * len(data)
        return tuple(_read(inner, item) for inner, item in zip(kinds, data, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _read(arguments[1], item) for key, item in data.items()}
    return _read_plain(kind, data)


def _read_union(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None:
        return None
    real = [kind for kind in kinds if kind is not type(None)]
    return _read(Measured if set(real) & set(_FIGURES) else real[0], data)


def _read_plain(kind: Any, data: Any) -> Any:
    if kind is float:
        return float(_number(data))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    if not isinstance(data, kind):
        raise TypeError(f"{data!r} is not {kind.__name__}")
    return data


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
