"""Names for the nodes of an exported module: the path of the submodule that each comes from.

The exporter notes in each node's metadata the modules around it and the call in the captured program. A
module of torch.nn that became one node gives its path (``blocks.0.conv1``); elsewhere the call's name is
added (``blocks.0.add``), and the operator's where a call became several nodes (``attention.softmax.Cast``).
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto, NodeProto

from taut.graph.ir import Graph

_SCOPES, _CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"


@dataclass(frozen=True)
class Origin:
    """Where a node comes from."""

    path: str
    """Of the innermost module, empty for the outermost"""
    call: str
    """Name of the call in the captured program, which is unique in it"""
    is_torch_module: bool


def number_nodes(model: ModelProto) -> dict[str, Origin]:
    """Rename the nodes of a model in place to numbers, and return where each comes from."""
    origins = {}
    for place, node in enumerate(model.graph.node):
        origins[str(place)] = _origin(node)
        node.name = str(place)
    return origins


def with_module_names(graph: Graph, origins: Mapping[str, Origin]) -> Graph:
    """Return the graph with numbered nodes called after their origins."""
    kept = [origins[node.name] for node in graph]
    calls = _names_of_calls(kept)
    sizes = Counter(origin.call for origin in kept)
    taken: Counter[str] = Counter()
    nodes = []
    for node, origin in zip(graph, kept, strict=True):
        stem = calls[origin.call] if sizes[origin.call] == 1 else f"{calls[origin.call]}.{node.op}"
        nodes.append(replace(node, name=_numbered(stem, taken)))
    return replace(graph, nodes=tuple(nodes))


def _origin(node: NodeProto) -> Origin:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    scopes, classes = (ast.literal_eval(notes.get(key, "[]")) for key in (_SCOPES, _CLASSES))
    call = scopes[-1] if scopes else node.name
    path = scopes[-2] if len(scopes) > 1 else ""
    is_torch_module = len(classes) > 1 and classes[-2].startswith("torch.nn.")
    return Origin(path, call, is_torch_module)


def _names_of_calls(origins: Sequence[Origin]) -> dict[str, str]:
    """A name for each call: its module's path if it is the only call in there, else with its own name."""
    unique = dict.fromkeys(origins)
    per_path = Counter(origin.path for origin in unique)
    taken: Counter[str] = Counter()
    names = {}
    for origin in unique:
        is_alone = origin.is_torch_module and per_path[origin.path] == 1
        own = re.sub(r"_\d+$", "", origin.call)  # numbers count through the whole program
        inside = f"{origin.path}.{own}" if origin.path else own
        names[origin.call] = _numbered(origin.path if is_alone else inside, taken)
    return names


def _numbered(stem: str, taken: Counter[str]) -> str:
    taken[stem] += 1
    return stem if taken[stem] == 1 else f"{stem}_{taken[stem] - 1}"
