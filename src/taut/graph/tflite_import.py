"""Import from TensorFlow Lite: the file's operators become ONNX's, channels last becomes channels first.

Inputs and outputs keep the file's names, types and order of axes; between them pictures are channels first,
and Transpose stands only where the orders meet. Quantized tensors become pairs of QuantizeLinear and
DequantizeLinear with the file's scales. The network is read for the shapes that the file states, which are
those of a batch of one where it leaves the batch open. Files are from strangers: whatever breaks the format
or contradicts itself is refused before anything runs.
"""

from __future__ import annotations

from pathlib import Path

from taut.core.errors import BadInput
from taut.graph.editor import Editor
from taut.graph.ir import Graph
from taut.graph.model_file import read_model_file
from taut.graph.tflite_conversion import Conversion
from taut.graph.tflite_elementwise import ELEMENTWISE
from taut.graph.tflite_matrices import MATRICES
from taut.graph.tflite_model import TfliteModel, Unsupported, read_model
from taut.graph.tflite_rearranging import REARRANGING
from taut.graph.tflite_windows import WINDOWS
from taut.graph.verify import InvariantBroken, verify

CONVERTERS = {**ELEMENTWISE, **MATRICES, **REARRANGING, **WINDOWS}
"""Operator -> what adds its nodes"""
_CONVERT_AGAIN = "give a .tflite file as its converter wrote it"
_OTHER_WAY = "export the network to ONNX from where it was trained"


def load_tflite(path: Path) -> Graph:
    """Read a TensorFlow Lite file. Raises BadInput for anything but a sound model of known operators."""
    content = read_model_file(path, ".tflite", _CONVERT_AGAIN)
    try:
        graph = _to_graph(read_model(content), path.stem)
        verify(graph, "import")
    except Unsupported as error:
        raise BadInput(str(path), str(error), _OTHER_WAY) from error
    except InvariantBroken as error:
        rule = f"contradicts itself ({error.where})"
        raise BadInput(str(path), rule, _CONVERT_AGAIN) from error
    except ValueError as error:
        rule = f"is no TensorFlow Lite file, or damaged ({error})"
        raise BadInput(str(path), rule, _CONVERT_AGAIN) from error
    return graph


def _to_graph(model: TfliteModel, name: str) -> Graph:
    _refuse_unknown(model)
    conversion = Conversion(model)
    for place, operator in enumerate(model.operators):
        conversion.begin(place)
        CONVERTERS[operator.kind](conversion, operator)
    return Editor(conversion.graph(name)).graph()


def _refuse_unknown(model: TfliteModel) -> None:
    unknown = sorted({operator.kind for operator in model.operators} - set(CONVERTERS))
    if unknown:
        names = ", ".join(kind.removeprefix("custom:") for kind in unknown)
        kind = "custom operators" if any(item.startswith("custom:") for item in unknown) else "operators"
        raise Unsupported(f"has {kind} that are not read: {names}")
