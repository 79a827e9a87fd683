"""Makes tflite_golden.npz: what TensorFlow Lite's interpreter computes for the cases and the MLPerf files.

Run it where ai-edge-litert 2.3.0 is installed, in the folder of the tests, with TAUT_DATA set:
``pip install ai-edge-litert==2.3.0 && PYTHONPATH=../../src python make_tflite_golden.py``
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_cases import CASES, random_inputs
from tflite_writer import FileTensor, write_tflite

from taut.graph.tflite_model import read_model

GOLDEN = Path(__file__).parent / "tflite_golden.npz"


def run_file(content: bytes, inputs: dict[str, np.ndarray]) -> Interpreter:
    """Return the interpreter after a run of its own kernels, without delegates; it keeps every tensor."""
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[detail["name"]])
    interpreter.invoke()
    return interpreter


def outputs_of(interpreter: Interpreter) -> dict[str, np.ndarray]:
    details = interpreter.get_output_details()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in details}


def inputs_of_file(content: bytes) -> dict[str, np.ndarray]:
    interpreter = Interpreter(model_content=content)
    details = interpreter.get_input_details()
    tensors = [
        FileTensor(item["name"], tuple(item["shape"]), np.dtype(item["dtype"]).name) for item in details
    ]
    return random_inputs(tensors, seed=0, least=0.0)


def main() -> None:
    golden = {}
    for name, case in CASES.items():
        outputs = outputs_of(run_file(write_tflite(case.model), case.inputs()))
        golden.update({f"{name}:{output}": array for output, array in outputs.items()})
    for path in sorted((Path(os.environ["TAUT_DATA"]) / "mlperf_tiny").rglob("*.tflite")):
        content = path.read_bytes()
        interpreter = run_file(content, inputs_of_file(content))
        (golden[f"{path.name}:"],) = outputs_of(interpreter).values()
        last = read_model(content).operators[-1]
        if last.kind == "SOFTMAX":  # which hides differences where it saturates
            golden[f"{path.name}:logits"] = interpreter.get_tensor(last.inputs[0])
    np.savez_compressed(GOLDEN, **golden)


if __name__ == "__main__":
    main()
