"""A torch module as a graph: exported once, in evaluation mode, with static shapes.

torch.export captures the module and PyTorch's ONNX exporter translates it unoptimised, so that batch norm
stays a node of its own. Nodes are called after the module they come from (``blocks.0.conv1``), constants
after the module's state. Control flow that depends on data cannot be captured and is refused.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn
from torch.export import ExportedProgram

from taut.core.errors import BadInput
from taut.graph.editor import Editor
from taut.graph.ir import Graph
from taut.graph.onnx_import import from_onnx
from taut.graph.pt2_archive import refuse_unsafe_archive
from taut.graph.shapes import with_shapes
from taut.graph.tidy import tidy
from taut.graph.torch_names import number_nodes, with_module_names
from taut.graph.torch_ops.tensors import to_tensor

OPSET = 20
"""The first with Gelu as one node; every runtime that we drive reads it"""


def from_torch(
    module: nn.Module, example_inputs: Mapping[str, np.ndarray], output_names: Sequence[str] | None = None
) -> Graph:
    """Return the graph of a module, which is left as it was.

    Inputs are passed by name where the forward method has all these names, else by position. Outputs are
    called as given, else by the keys of a mapping, else ``output`` or ``output_0``, ``output_1``, ...
    Raises BadInput where the module cannot be captured with the example inputs.
    """
    given = f"module {type(module).__name__}"
    names, is_by_name = _order(module, list(example_inputs))
    tensors = {name: to_tensor(example_inputs[name]) for name in names}
    with _evaluating(module), _quiet():
        program = _captured(module, tensors, is_by_name, given)
        graph = _translated(program, names, output_names, given)
    return _with_inputs_in_order(graph, list(example_inputs))


def load_pt2(path: Path) -> Graph:
    """Return the graph of a file that ``torch.export.save`` wrote.

    Such an archive may hold pickles, compiled code and expressions to evaluate. Raises BadInput for one that
    does, before torch opens it, and for one that torch cannot read.
    """
    refuse_unsafe_archive(path)
    with _quiet():
        try:
            program = torch.export.load(path)
        except Exception as error:
            rule = f"cannot be read as a torch.export archive ({_first_line(error)})"
            raise BadInput(str(path), rule, f"save it again with torch {torch.__version__}") from error
        names = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
        return _translated(program, names, None, str(path))


def _order(module: nn.Module, names: list[str]) -> tuple[list[str], bool]:
    """The inputs in the order of the module's parameters and whether they can be passed by name."""
    parameters = inspect.signature(module.forward).parameters
    named = [name for name, parameter in parameters.items() if parameter.kind not in _NAMELESS]
    if not set(names) <= set(named):
        return names, False
    return sorted(names, key=named.index), True


_NAMELESS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


def _captured(
    module: nn.Module, tensors: Mapping[str, Tensor], is_by_name: bool, given: str
) -> ExportedProgram:
    args = () if is_by_name else tuple(tensors.values())
    try:
        return torch.export.export(module, args, dict(tensors) if is_by_name else None)
    except Exception as error:  # whatever the module's own code raises, besides torch's refusals
        way_out = "check the example inputs, or export it to ONNX yourself and give the .onnx file"
        raise BadInput(given, f"torch.export cannot capture it ({_first_line(error)})", way_out) from error


def _translated(
    program: ExportedProgram, names: Sequence[str], output_names: Sequence[str] | None, given: str
) -> Graph:
    outputs = list(output_names or _output_names(program, names))
    try:
        exported: Any = torch.onnx.export(
            program,
            (),
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            verbose=False,
            input_names=list(names),
            output_names=outputs,
        )
    except torch.onnx.OnnxExporterError as error:
        way_out = "replace the operator, or export it to ONNX yourself and give the .onnx file"
        raise BadInput(given, f"cannot be translated to ONNX ({_first_line(error)})", way_out) from error
    return _graph_of(exported.model_proto)


def _output_names(program: ExportedProgram, taken: Sequence[str]) -> list[str]:
    """Keys of a returned mapping, else numbers; an output called like an input gets ``_out`` behind."""
    count = len(program.graph_signature.user_outputs)
    structure = program.call_spec.out_spec.unflatten(range(count))
    if isinstance(structure, Mapping) and len(structure) == count:
        return [f"{key}_out" if key in taken else str(key) for key in structure]
    return ["output"] if count == 1 else [f"output_{place}" for place in range(count)]


def _graph_of(model: ModelProto) -> Graph:
    origins = number_nodes(model)
    return with_module_names(tidy(with_shapes(from_onnx(model))), origins)


def _with_inputs_in_order(graph: Graph, names: list[str]) -> Graph:
    edit = Editor(graph)
    edit.set_inputs(sorted(graph.inputs, key=lambda value: names.index(value.name)))
    return edit.graph()


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put the module into evaluation mode for a while."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about itself from the user; errors still come through.

    It warns of its own deprecations, logs that torchvision is not installed, and prints its progress.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
