"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        help="file.onnx, file.tflite, file.pt2, package.module:function, taut:NAME, timm:NAME, hf:NAME "
        "or a folder"
    ),
]
Data = Annotated[
    str, typer.Option(help="digits, cifar10, folder:DIR, npz:FILE, package.module:function or random")
]
Threads = Annotated[int | None, typer.Option(help="cores to use; default: all that this process may use")]
Batch = Annotated[int, typer.Option(help="samples per run")]
Shapes = Annotated[
    list[str] | None, typer.Option(help="NAME=1x3x640x640 of an input whose size is not fixed")
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object as the last line")]


def read_shapes(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Parse ``--shape`` options; BadInput names the one that is malformed."""
    from taut.fit.models import parse_shape

    parsed = [parse_shape(text) for text in texts or ()]
    return {shape.name: shape.sizes for shape in parsed}
