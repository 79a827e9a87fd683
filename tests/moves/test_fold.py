from __future__ import annotations

from pathlib import Path

import pytest
from tests.graph.small_nets import residual_net
from tests.moves.quantize.quantize_nets import context_in, network_of

from taut.core.errors import BadInput
from taut.core.move import move_to_json
from taut.moves import plan_from_json
from taut.moves.fold import KIND, Fold


def test_folding_removes_batch_norms_and_says_where_they_went(tmp_path: Path) -> None:
    network = network_of(residual_net())
    moved = Fold().apply(network, context_in(tmp_path))
    assert {node.op for node in moved.network.graph} == {
        "Conv",
        "Relu",
        "Add",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
    }
    assert moved.names.new_names("bn1") == ("conv1",)
    assert "bn1" in network.graph.by_name


def test_folding_is_offered_only_where_it_removes_something(tmp_path: Path) -> None:
    network, context = network_of(residual_net()), context_in(tmp_path)
    assert KIND.offers(network, context) == [Fold()]
    assert KIND.offers(Fold().apply(network, context).network, context) == []


def test_folding_survives_json(tmp_path: Path) -> None:
    plan = plan_from_json([move_to_json(Fold())])
    assert plan.moves == (Fold(),)
    moved = plan.moves[0].apply(network_of(residual_net()), context_in(tmp_path))
    assert moved.names.new_names("bn2") == ("conv2",)


def test_settings_are_refused() -> None:
    with pytest.raises(BadInput, match="folding has none"):
        KIND.from_json({"depth": 2})
