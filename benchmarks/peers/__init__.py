"""The lines that a knowledgeable user would try by hand, one file per tool."""

from __future__ import annotations

from peers.base import Line
from peers.nncf_int8 import NncfInt8
from peers.openvino_float import OpenVinoFloat
from peers.ort_dynamic_int8 import OrtDynamicInt8
from peers.ort_fp32 import OrtFp32
from peers.ort_options import OrtOptions
from peers.ort_static_int8 import OrtStaticInt8
from taut.train.recipe import Recipe


def untrained_lines() -> list[Line]:
    """Return the lines for every network, the original's own first."""
    return [
        OrtFp32(),
        OrtOptions(),
        OrtStaticInt8(),
        OrtDynamicInt8(),
        OpenVinoFloat("openvino f32", "f32"),
        OpenVinoFloat("openvino default", None),
        NncfInt8("nncf int8", None),
        NncfInt8("nncf int8, f32", "f32"),
    ]


def trained_lines(recipe: Recipe) -> list[Line]:
    """Return the lines for a network that can be trained, all with one recipe; needs torch."""
    from peers.pruned import pruned
    from peers.trained import Trained, unpruned

    deployed_by: list[Line] = [
        OrtFp32(),
        OrtStaticInt8(),
        OpenVinoFloat("openvino default", None),
        NncfInt8("nncf int8", None),
    ]
    return [
        *(Trained("trained on", unpruned, recipe, line) for line in deployed_by),
        *(Trained("torch-pruning 50%", pruned, recipe, line, ("torch-pruning",)) for line in deployed_by),
    ]
