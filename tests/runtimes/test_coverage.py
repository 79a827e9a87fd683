"""Which nodes a kernel covers: every node has an owner, fused chains stay together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taut.graph.ir import Node
from taut.runtimes.coverage import Coverage, Kernel

CHAIN = [
    Node("conv", "Conv", ("x", "w"), ("conv_out",)),
    Node("relu", "Relu", ("conv_out",), ("relu_out",)),
    Node("pool", "MaxPool", ("relu_out",), ("pool_out",)),
    Node("gemm", "Gemm", ("pool_out", "v"), ("y",)),
]


def kernels(*claims: str) -> list[Kernel]:
    """A chain of kernels named k0, k1... that claim a name each."""
    return [
        Kernel(f"k{number}", (claim,), (f"k{number + 1}",) if number + 1 < len(claims) else ())
        for number, claim in enumerate(claims)
    ]


def test_fused_chain_goes_to_the_kernel_that_kept_the_last_name() -> None:
    coverage = Coverage(CHAIN, kernels("relu_out", "pool", "gemm"))
    assert coverage.nodes("k0") == ("conv", "relu")
    assert coverage.owner == {"conv": "k0", "relu": "k0", "pool": "k1", "gemm": "k2"}


def test_fused_chain_goes_to_the_kernel_that_kept_the_first_name_when_nobody_reads_it() -> None:
    coverage = Coverage(CHAIN, kernels("conv", "relu", "pool"))
    assert coverage.nodes("k2") == ("pool", "gemm")


def test_inserted_kernel_counts_with_the_one_it_feeds() -> None:
    coverage = Coverage(CHAIN, kernels("relu", "reorder_token_1", "pool", "gemm"))
    assert coverage.nodes("k1") == ("pool",)


def test_inserted_kernel_counts_with_its_feeder_when_it_feeds_nothing() -> None:
    coverage = Coverage(CHAIN, kernels("relu", "pool", "y", "reorder_token_1"))
    assert coverage.nodes("k3") == ("gemm",)


def test_kernel_that_claims_a_node_of_another_counts_with_it_and_does_not_own_it() -> None:
    coverage = Coverage(CHAIN, kernels("relu", "relu_out", "pool", "gemm"))
    assert coverage.owner["relu"] == "k0"
    assert coverage.nodes("k1") == ("relu",)


def test_nothing_is_owned_when_no_kernel_kept_a_name() -> None:
    coverage = Coverage(CHAIN, kernels("a", "b"))
    assert coverage.owner == {}
    assert coverage.nodes("k0") == ()


@given(st.lists(st.sampled_from(["conv", "relu_out", "pool", "y", "other"]), min_size=1, max_size=6))
def test_every_node_of_a_connected_graph_has_one_owner_when_any_name_was_kept(claims: list[str]) -> None:
    coverage = Coverage(CHAIN, kernels(*claims))
    is_known = any(claim != "other" for claim in claims)
    assert set(coverage.owner) == ({node.name for node in CHAIN} if is_known else set())
    for number in range(len(claims)):
        assert bool(coverage.nodes(f"k{number}")) == is_known
