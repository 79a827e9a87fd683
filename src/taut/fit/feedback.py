"""Recurrent state: which outputs of a network are its own inputs at the next step.

ONNX does not say. Names do, by habit: ``state`` and ``state_out``, ``h_in`` and ``h_out``, ``cache`` and
``next_cache``, ``h0`` and ``hn``. A pair counts if the words left over are the same, with the same type and
static shape, and if some input and some output remain that are not state (a denoiser's ``audio_in`` and
``audio_out`` are data).
"""

from __future__ import annotations

import re

from taut.graph.ir import Graph, Value

_BEFORE = {"in", "input", "prev", "previous", "past", "old", "init", "initial", "last"}
_AFTER = {"out", "output", "next", "new", "updated", "present", "n", "final"}
_TORCH_NAMES = {"h0": "h", "hn": "h", "c0": "c", "cn": "c"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def find_feedback(graph: Graph) -> dict[str, str]:
    """Return output name -> input name for the state that a graph carries from step to step."""
    inputs = {words: value for value in graph.inputs if (words := _words(value.name, _BEFORE))}
    pairs: dict[str, str] = {}
    for output in graph.outputs:
        source = inputs.get(_words(output.name, _AFTER))
        if source is not None and _is_same_type(output, source) and source.name not in pairs.values():
            pairs[output.name] = source.name
    is_all_state = len(pairs) in (len(graph.inputs), len(graph.outputs))
    return {} if is_all_state else pairs


def _words(name: str, markers: set[str]) -> tuple[str, ...]:
    """The words of a name without those that say before or after."""
    if name.lower() in _TORCH_NAMES:
        return (_TORCH_NAMES[name.lower()],)
    return tuple(word for word in map(str.lower, _WORD.findall(name)) if word not in markers)


def _is_same_type(output: Value, source: Value) -> bool:
    return source.is_static and (output.dtype, output.shape) == (source.dtype, source.shape)
