"""Lines with training: the torch net, pruned or not, trained as Taut trained its own, then deployed.

Every such line gets the data, recipe and number of steps of Taut's recovery, with the original as teacher;
the unpruned net too, or training alone would count as pruning's merit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from peers.base import Case, Line
from taut.core.runner import RunnerSpec
from taut.measure import wait_while_timing
from taut.nets.load import load_net
from taut.train.loop import Hooks
from taut.train.recipe import Recipe
from taut.train.store import Order, get_or_train

Shape = Callable[[nn.Module, torch.Tensor], nn.Module]
"""(net with its weights, example input) -> the net in the shape that is trained"""
_OPSET = 18


@dataclass(frozen=True)
class Trained:
    """A net in a shape, trained, exported by torch and handed on to another line."""

    shape_name: str
    shape: Shape = field(repr=False)
    """Named by ``shape_name``; a function's ``repr`` is another one in each process"""
    recipe: Recipe
    deployed_by: Line
    shape_packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.shape_name}, {self.deployed_by.name}"

    @property
    def packages(self) -> tuple[str, ...]:
        return ("torch", *self.shape_packages, *self.deployed_by.packages)

    def prepare(self, case: Case, folder: Path) -> RunnerSpec:
        """Train and export (once for all lines of the same shape), then deploy."""
        store, order = case.folder / "trained", self._order(case)
        module = get_or_train(order, store, Hooks(pause=wait_while_timing))
        exported = replace(case, file=store / f"{order.key()}.onnx")
        if not exported.file.exists():
            _export(module, exported)
        return self.deployed_by.prepare(exported, folder)

    def _order(self, case: Case) -> Order:
        assert case.net is not None, "only a torch net can be trained"
        net = case.net
        return Order(
            spec=f"{self.shape_name} of {net}",
            build=lambda: self._built(net),
            task=case.task,
            recipe=self.recipe,
            teacher=_channels_last(load_net(net)[0]),
            teacher_digest=case.digest,
        )

    def _built(self, net: str) -> nn.Module:
        module, spec = load_net(net)
        shaped = self.shape(module, torch.zeros(spec.input_shape))
        return _channels_last(shaped)


def unpruned(module: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return the net as it is."""
    del example
    return module


def _channels_last(module: nn.Module) -> nn.Module:
    """The layout that the training loop feeds images in; with it a step takes half the time."""
    return convert_conv2d_weight_memory_format(module, torch.channels_last)


def _export(module: nn.Module, case: Case) -> None:
    """Write the case's file with the names and sizes of the original's inputs and outputs."""
    (given,) = case.network.graph.inputs
    partial = case.file.with_suffix(".partial")
    torch.onnx.export(
        convert_conv2d_weight_memory_format(module, torch.contiguous_format).eval(),
        (torch.zeros(given.static_shape),),
        str(partial),
        input_names=[given.name],
        output_names=case.outputs,
        opset_version=_OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    partial.replace(case.file)
