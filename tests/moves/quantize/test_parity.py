from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.moves.quantize.quantize_nets import images, residual_net

from taut.graph import Graph
from taut.moves.quantize import parity
from taut.moves.quantize.integer import IntegerProgram, compile_integer
from taut.moves.quantize.integer_kernels import Convolution
from taut.moves.quantize.parity import compare_with_engine
from taut.moves.quantize.qat_net import QatNet, QatSettings


def trained_net() -> QatNet:
    net = QatNet(residual_net(), QatSettings()).train()
    net(torch.from_numpy(images(32)))
    return net.eval()


def test_a_net_and_its_engine_agree() -> None:
    found = compare_with_engine(trained_net(), images(40, seed=3))
    assert found.floats == 0 and found.within_a_step >= 99.9 and found.agreement >= 97.5


def test_another_nets_engine_disagrees(monkeypatch: pytest.MonkeyPatch) -> None:
    other = QatNet(residual_net(seed=1), QatSettings()).train()
    other(torch.from_numpy(images(32)))
    monkeypatch.setattr(parity, "compile_integer", lambda _graph: compile_integer(other.eval().to_qdq()))
    found = compare_with_engine(trained_net(), images(40, seed=3))
    assert found.within_a_step < 90 and found.agreement < 90


def test_a_float_that_a_kernel_holds_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_float(graph: Graph) -> IntegerProgram:
        program = compile_integer(graph)
        first = program.steps[0]
        assert isinstance(first.kernel, Convolution)
        kernel = replace(first.kernel, bias=first.kernel.bias.astype(np.float32))
        return replace(program, steps=(replace(first, kernel=kernel), *program.steps[1:]))

    monkeypatch.setattr(parity, "compile_integer", with_float)
    assert compare_with_engine(trained_net(), images(4)).floats >= 1
