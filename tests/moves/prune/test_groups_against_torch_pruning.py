"""Torch-Pruning's dependency graph (Fang et al., arXiv 2301.12900) as oracle on a residual network."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from taut.graph.from_torch import from_torch
from taut.moves.prune.groups import trace_channels
from taut.nets.resnet_cifar import ResNetCifar

Members = frozenset[tuple[str, int]]
"""(name of a parameter, axis that is cut)"""


def _members_by_torch_pruning(module: nn.Module, example: torch.Tensor) -> set[Members]:
    pruning = pytest.importorskip("torch_pruning", reason="Torch-Pruning is the oracle")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pruning.DependencyGraph().build_dependency(module, example_inputs=example)
    names = {layer: name for name, layer in module.named_modules()}
    groups = set()
    for layer in names:
        if isinstance(layer, nn.Conv2d):
            group = found.get_pruning_group(layer, pruning.prune_conv_out_channels, idxs=[0])
            groups.add(
                frozenset(member for dependency, _ in group for member in _parameters(names, dependency))
            )
    return groups


def _parameters(names: dict[nn.Module, str], dependency: Any) -> list[tuple[str, int]]:
    layer = dependency.target.module
    if layer not in names:  # additions and reshapes have no parameters
        return []
    is_input = dependency.handler.__name__ in ("prune_in_channels", "prune_depthwise_in_channels")
    parts = ("weight", "bias") if isinstance(layer, nn.BatchNorm2d) else ("weight",)
    return [(f"{names[layer]}.{part}", 1 if is_input and layer.weight.dim() > 1 else 0) for part in parts]


def test_groups_of_a_resnet_are_those_of_torch_pruning() -> None:
    module = ResNetCifar(blocks=2).eval()
    graph = from_torch(module, {"image": np.zeros((1, 3, 16, 16), np.float32)}, ["logits"])
    trained = dict(module.named_parameters())
    ours = {
        frozenset((cut.constant, cut.axis) for cut in group.cuts if cut.constant in trained)
        for group in trace_channels(graph).groups
    }
    expected = _members_by_torch_pruning(module, torch.zeros(1, 3, 16, 16))
    assert len(ours) == 9
    assert ours == expected
