"""The front door of models: what a user writes as MODEL becomes a Network.

Pickled checkpoints are refused: opening one runs whatever code its maker put in.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from taut.core.errors import BadInput
from taut.core.network import MAIN, Network, Part, Run
from taut.core.task import Arrays
from taut.fit.feedback import find_feedback
from taut.fit.hubs import SEQUENCE, hf_model, timm_model
from taut.graph.ir import Graph
from taut.graph.onnx_import import load_onnx
from taut.graph.shapes import describe_shape, with_shapes
from taut.graph.tflite_import import load_tflite
from taut.runtimes.manifest import MANIFEST_NAME, Manifest, read_manifest
from taut.tasks.function import imported_function

FORMS = (
    "file.onnx, file.tflite, file.pt2, package.module:function, taut:NAME, timm:NAME, hf:NAME "
    "or the folder of an artifact"
)
Sizes = Mapping[str, tuple[int, ...]]
_PICKLED = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".t7"}
_SHAPE = re.compile(r"(?P<name>.+)=(?P<sizes>\d+(x\d+)*)(@(?P<weight>\d*\.?\d+))?")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Shape:
    """Sizes for an input, and how much they count where several are given."""

    name: str
    sizes: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Wanted:
    """Sizes that the user gave."""

    shapes: Sizes
    batch: int

    def zeros(self) -> Arrays:
        """Inputs of the given shapes, for a module that came without."""
        return {name: np.zeros(sizes, np.float32) for name, sizes in self.shapes.items()}

    def with_batch(self, inputs: Arrays) -> Arrays:
        """Return example inputs of one sample in the sizes that are wanted, else repeated to the batch."""
        unknown = [name for name in self.shapes if name not in inputs]
        if unknown:
            names = ", ".join(inputs)
            raise BadInput(f"--shape {unknown[0]}", "names no input of the model", f"its inputs are {names}")
        return {name: self._resized(name, np.asarray(array)) for name, array in inputs.items()}

    def _resized(self, name: str, array: np.ndarray) -> np.ndarray:
        if name in self.shapes:
            return np.resize(array, self.shapes[name])
        if array.ndim and array.shape[0] == 1:
            return np.repeat(array, self.batch, axis=0)
        return array


def parse_shape(text: str) -> Shape:
    """Parse ``NAME=1x3x640x640[@weight]``; BadInput where it is malformed."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise BadInput(
            f"--shape {text}", "is not NAME=1x3x640x640[@weight]", "write for example --shape x=1x3x640x640"
        )
    sizes = tuple(int(size) for size in match["sizes"].split("x"))
    weight = float(match["weight"] or 1)
    if weight <= 0 or min(sizes) < 1:
        raise BadInput(f"--shape {text}", "has a size or weight of zero", "give positive numbers")
    return Shape(match["name"], sizes, weight)


def open_model(text: str, shapes: Sizes | None = None, batch: int = 1) -> Network:
    """Open what MODEL names. ``shapes`` fixes dynamic inputs; ``batch`` a first axis that alone is open.

    Raises BadInput for whatever is not a model, or cannot be one with these sizes.
    """
    path, wanted = Path(text), Wanted(shapes or {}, batch)
    source, _, name = text.partition(":")
    if source in _SOURCES and name:
        network = _SOURCES[source](name, wanted)
    elif path.suffix.lower() in _FILES:
        network = _FILES[path.suffix.lower()](path, wanted)
    elif path.is_dir():
        network = _open_artifact(path)
    elif _FUNCTION.fullmatch(text):
        network = _open_function(text, wanted)
    else:
        raise BadInput(f"model {text!r}", "is none that can be opened", f"give {FORMS}")
    _refuse_other_batch(network, batch)
    return network


def network_from_module(
    module: Any,
    example_inputs: Arrays | None,
    name: str | None = None,
    output_names: Sequence[str] | None = None,
) -> Network:
    """Return the network of a torch module, exported with its example inputs. Raises BadInput."""
    given = f"model {name or type(module).__name__!r}"
    _require_torch(given)
    from torch import nn

    from taut.graph.from_torch import from_torch

    if not isinstance(module, nn.Module):
        rule = "is neither a torch module nor a Network nor text"
        raise BadInput(given, rule, f"give one of these; as text {FORMS}")
    if not example_inputs:
        way_out = "give example_inputs={name: array}, or on the command line --shape NAME=1x3x224x224"
        raise BadInput(given, "needs example inputs to be exported", way_out)
    graph = from_torch(module, example_inputs, output_names)
    return _network(name or type(module).__name__, graph)


def _network(name: str, graph: Graph, source_file: Path | None = None) -> Network:
    part = Part(graph, source_file=source_file)
    return Network(name, {MAIN: part}, feedback=find_feedback(graph))


def _open_onnx(path: Path, wanted: Wanted) -> Network:
    graph = load_onnx(path)
    fixed = with_shapes(graph, {**_open_batches(graph, wanted), **wanted.shapes})
    return _network(path.stem, fixed, path if graph.is_static else None)


def _open_batches(graph: Graph, wanted: Wanted) -> dict[str, tuple[int, ...]]:
    """Shapes of inputs that leave nothing open but the first axis, unless that is settled by others."""
    settled = {size for value in graph.inputs if value.name in wanted.shapes for size in value.shape or ()}
    shapes = {}
    for value in graph.inputs:
        first, *rest = value.shape or (0,)
        sizes = tuple(size for size in rest if isinstance(size, int))
        if not isinstance(first, int) and first not in settled and len(sizes) == len(rest):
            shapes[value.name] = (wanted.batch, *sizes)
    return shapes


def _open_tflite(path: Path, wanted: Wanted) -> Network:
    return _network(path.stem, with_shapes(load_tflite(path), wanted.shapes))


def _open_pt2(path: Path, wanted: Wanted) -> Network:
    _require_torch(str(path))
    from taut.graph.from_torch import load_pt2

    return _network(path.stem, with_shapes(load_pt2(path), wanted.shapes))


def _refuse_pickled(path: Path, _wanted: Wanted) -> Network:
    rule = "is a pickled checkpoint, which runs code when it is opened"
    way_out = (
        "save the model with torch.export.save as .pt2, or export it to ONNX; weights alone as safetensors"
    )
    raise BadInput(str(path), rule, way_out)


def _refuse_weights(path: Path, _wanted: Wanted) -> Network:
    way_out = "give package.module:function, which builds the module and loads them"
    raise BadInput(str(path), "holds weights without the network", way_out)


def _refuse_later(path: Path, _wanted: Wanted) -> Network:
    raise BadInput(str(path), f"{path.suffix} files come with a later release", "convert it to ONNX")


def _open_function(text: str, wanted: Wanted) -> Network:
    given = f"model {text!r}"
    try:
        made = imported_function(text, given)()
    except BadInput:
        raise
    except Exception as error:
        rule = f"raised {type(error).__name__}: {error}"
        raise BadInput(given, rule, "call the function by itself to debug it") from error
    if isinstance(made, Network):
        return made
    module, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, wanted.zeros())
    return network_from_module(module, wanted.with_batch(inputs), text)


def _open_taut(name: str, wanted: Wanted) -> Network:
    _require_torch(f"taut:{name}")
    from taut.nets.load import load_net

    module, spec = load_net(name)
    return network_from_module(module, wanted.with_batch(spec.example_inputs()), name, ["logits"])


def _open_timm(name: str, wanted: Wanted) -> Network:
    module, inputs = timm_model(name)
    return network_from_module(module, wanted.with_batch(inputs), name, ["logits"])


def _open_hf(name: str, wanted: Wanted) -> Network:
    module, inputs = hf_model(name, wanted.shapes.get("input_ids", (wanted.batch, SEQUENCE)))
    return network_from_module(module, wanted.with_batch(inputs), name)


def _open_artifact(folder: Path) -> Network:
    """The network as it was saved: its stages' graphs joined, and run as they are run there."""
    if not (folder / MANIFEST_NAME).is_file():
        rule = f"is a folder without {MANIFEST_NAME}, so it is no artifact"
        raise BadInput(str(folder), rule, "give the folder that taut fit wrote, such as runs/fit/best")
    manifest = read_manifest(folder)
    files = [folder / saved.files[0].path for saved in manifest.stages]
    graph = with_shapes(_joined([load_onnx(file) for file in files], manifest))
    part = Part(graph, source_file=files[0] if len(files) == 1 else None)
    run = Run(tuple(saved.stage for saved in manifest.stages))
    return Network(manifest.name, {manifest.entry: part}, manifest.entry, run, manifest.feedback)


def _joined(graphs: Sequence[Graph], manifest: Manifest) -> Graph:
    """One graph of consecutive ones; what was copied to several of them counts once."""
    nodes = {node.name: node for graph in graphs for node in graph}
    constants = {name: array for graph in graphs for name, array in graph.constants.items()}
    joined = replace(graphs[0], inputs=manifest.inputs, outputs=manifest.outputs, constants=constants)
    return replace(joined, nodes=tuple(nodes.values()))


def _refuse_other_batch(network: Network, batch: int) -> None:
    fed_back = set(network.feedback.values())
    data = [value for value in network.graph.inputs if value.name not in fed_back]
    if batch > 1 and not any(value.shape and value.shape[0] == batch for value in data):
        shapes = ", ".join(f"{value.name} {describe_shape(value.shape)}" for value in data)
        way_out = "export it with a dynamic first axis, or leave --batch away"
        raise BadInput(f"--batch {batch}", f"the model's inputs are fixed: {shapes}", way_out)


def _require_torch(given: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise BadInput(given, "needs torch, which is not installed", "pip install 'taut[train]'")


_SOURCES: dict[str, Callable[[str, Wanted], Network]] = {
    "taut": _open_taut,
    "timm": _open_timm,
    "hf": _open_hf,
}
_FILES: dict[str, Callable[[Path, Wanted], Network]] = {
    ".onnx": _open_onnx,
    ".pt2": _open_pt2,
    ".tflite": _open_tflite,
    ".safetensors": _refuse_weights,
    ".gguf": _refuse_later,
    **dict.fromkeys(_PICKLED, _refuse_pickled),
}
