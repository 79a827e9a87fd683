"""The phases of the default strategy on problems with planted truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from planted import Int8, Kind, Planted, Prune, PruneWithin, Recover, Settings, chain, move_of, residual

from taut.core.figures import Predicted
from taut.core.move import Form, Plan
from taut.core.strategy import Trial
from taut.search.knapsack import Knapsack
from taut.search.lines import lines, sound
from taut.search.placement import placements
from taut.search.regions import regions
from taut.search.widths import widths


@dataclass(frozen=True)
class Recipe:
    """A GRAPH move of so many bits that loses so much."""

    bits: int
    loss: float
    kind = "recipe"
    form = Form.GRAPH


_RUNTIMES = Kind("runtime", Form.RUN, (Settings("onnxruntime"), Settings("openvino"), Settings("torch")))
_INT8 = Kind("int8", Form.GRAPH, (Int8(), Int8(target="openvino")))
_PACE = {"onnxruntime": 1.0, "openvino": 0.8, "torch": 9.0}


def _pace(plan: Plan) -> float:
    setting = move_of(plan, "runtime")
    return 1.0 if setting is None else _PACE[setting.runtime]


def test_lines_judge_the_fastest_setting_and_leave_slow_ones_unjudged() -> None:
    problem = Planted(_pace, lambda _plan: 0.0, {"runtime": _RUNTIMES})
    list(lines(problem))
    judged = {move_of(trial.plan, "runtime").runtime for trial in problem.trials[1:]}
    assert "openvino" in judged
    assert "torch" not in judged


def test_lines_offer_a_recipe_only_to_the_runtime_it_was_written_for() -> None:
    problem = Planted(_pace, lambda _plan: 0.0, {"runtime": _RUNTIMES, "int8": _INT8})
    list(lines(problem))
    pairs = [(move_of(t.plan, "int8"), move_of(t.plan, "runtime")) for t in problem.trials]
    assert any(int8 is not None for int8, _ in pairs)
    assert all(int8.target == setting.runtime for int8, setting in pairs if int8 is not None)


def test_recipes_with_fewer_bits_are_no_variants_and_lossy_variants_are_left_out() -> None:
    problem = Planted(_pace, lambda _plan: 0.0, {}, losses=lambda plan: plan.moves[0].loss)
    eight, spoilt, four = Recipe(8, 0.1), Recipe(8, 5.0), Recipe(4, 1.0)
    assert sound(problem, [eight, spoilt, four]) == [eight, four]


# conv1 is slower in int8, conv2 ruins the quality in int8; conv0 and conv3 gain.
_FLOAT_MS = {"conv0": 1.0, "conv1": 1.0, "conv2": 1.0, "conv3": 1.0}
_INT8_MS = {"conv0": 0.4, "conv1": 1.5, "conv2": 0.4, "conv3": 0.4}


def _lowered(plan: Plan) -> set[str]:
    move = move_of(plan, "int8")
    if move is None:
        return set()
    return set(_FLOAT_MS if move.nodes is None else move.nodes)


def _times(plan: Plan) -> Mapping[str, float]:
    return {node: (_INT8_MS if node in _lowered(plan) else _FLOAT_MS)[node] for node in _FLOAT_MS}


def test_placements_lower_exactly_the_nodes_that_gain_and_keep_the_quality() -> None:
    problem = Planted(
        cost_ms=lambda plan: sum(_times(plan).values()),
        drop_of=lambda plan: 5.0 if "conv2" in _lowered(plan) else 0.0,
        moves={"int8": Kind("int8", Form.GRAPH, (Int8(),))},
        profiles=_times,
        losses=lambda plan: 1.0 if "conv2" in _lowered(plan) else 0.01,
    )
    list(placements(problem, [Plan()]))
    assert _lowered(problem.fastest_kept().plan) == {"conv0", "conv3"}


def test_placements_predict_every_candidate_before_it_is_measured() -> None:
    problem = Planted(
        cost_ms=lambda plan: 2 * sum(_times(plan).values()),
        drop_of=lambda _plan: 5.0,
        moves={"int8": Kind("int8", Form.GRAPH, (Int8(),))},
        profiles=_times,
        losses=lambda plan: 0.1 * len(_lowered(plan)),
    )
    list(placements(problem, [Plan()]))
    candidates = problem.trials[1:]
    assert candidates
    assert all("p50" in trial.predicted for trial in candidates)


def _measured_losses(problem: Planted) -> list[Plan]:
    """Search placements and return the plans whose loss was asked for."""
    asked: list[Plan] = []
    problem.losses = lambda plan: asked.append(plan) or 0.01 * len(_lowered(plan))
    list(placements(problem, [Plan()]))
    return asked


def _placement_problem(drop_of_whole: float) -> Planted:
    return Planted(
        cost_ms=lambda plan: sum(_times(plan).values()),
        drop_of=lambda plan: drop_of_whole if len(_lowered(plan)) == len(_FLOAT_MS) else 0.0,
        moves={"int8": Kind("int8", Form.GRAPH, (Int8(),))},
        profiles=lambda plan: {node: 3 * ms for node, ms in _times(plan).items()},  # a slow profiler
    )


def test_losses_of_nodes_are_measured_only_where_int8_was_seen_to_lose_quality() -> None:
    harmless, harmful = _placement_problem(0.0), _placement_problem(5.0)
    for problem in (harmless, harmful):
        problem.evaluate(Plan.of([Int8()]))
    assert not _measured_losses(harmless)
    assert len(_measured_losses(harmful)) == 1 + len(_FLOAT_MS)  # the whole, then each node
    for problem in (harmless, harmful):
        assert _lowered(problem.fastest_kept().plan) == {"conv0", "conv2", "conv3"}


def test_placements_leave_a_recipe_that_the_runtime_computes_otherwise_than_the_graph_says() -> None:
    """Its arithmetic loses a hundredth of the signal's power; the runtime turned the outputs by half."""
    problem = _placement_problem(5.0)
    problem.losses = lambda plan: 0.01 * len(_lowered(plan))
    problem.cosine_of = lambda plan: 0.5 if len(_lowered(plan)) == len(_FLOAT_MS) else 1.0
    problem.evaluate(Plan.of([Int8()]))
    list(placements(problem, [Plan()]))
    assert len(problem.trials) == 2


@pytest.mark.parametrize(("pace", "is_searched"), [(1.1, True), (2.0, False)])
def test_placements_leave_a_runtime_whose_whole_networks_are_far_behind(
    pace: float, is_searched: bool
) -> None:
    problem = _placement_problem(5.0)
    cost_ms = problem.cost_ms
    problem.cost_ms = lambda plan: cost_ms(plan) * (pace if move_of(plan, "runtime") else 1.0)
    slow = Plan.of([Settings("openvino")])
    problem.moves = {"int8": Kind("int8", Form.GRAPH, (Int8(target="openvino"),))}
    for plan in (slow, slow.with_move(Int8(target="openvino"))):
        problem.evaluate(plan)
    list(placements(problem, [slow]))
    assert (len(problem.trials) > 3) == is_searched


def test_placements_search_finely_where_little_loss_is_allowed() -> None:
    """Float sensitivities that span four decades; all but the two that lose most may be lowered."""
    names = [f"conv{index}" for index in range(12)]
    loss = {name: 10 ** (-index / 3) for index, name in enumerate(names)}

    def lowered(plan: Plan) -> set[str]:
        move = move_of(plan, "int8")
        return set() if move is None else set(names if move.nodes is None else move.nodes)

    problem = Planted(
        cost_ms=lambda plan: 12.0 - 0.5 * len(lowered(plan)),
        drop_of=lambda plan: sum(100 * loss[name] for name in lowered(plan)),
        moves={"int8": Kind("int8", Form.GRAPH, (Int8(),))},
        profiles=lambda plan: {name: 0.5 if name in lowered(plan) else 1.0 for name in names},
        losses=lambda plan: sum(loss[name] for name in lowered(plan)),
        network=chain(12),
    )
    list(placements(problem, [Plan()]))
    assert lowered(problem.fastest_kept().plan) == set(names[7:])


def test_a_setting_on_which_no_placement_can_win_is_left_after_its_profiles() -> None:
    problem = _placement_problem(5.0)
    cost_ms = problem.cost_ms
    problem.cost_ms = lambda plan: 1.0 if move_of(plan, "runtime") else cost_ms(plan)
    problem.evaluate(Plan.of([Settings("openvino")]))
    assert not _measured_losses(problem)
    assert len(problem.trials) == 2


def test_the_profile_counts_for_its_proportions_and_the_race_for_its_sum() -> None:
    problem = _placement_problem(5.0)
    list(placements(problem, [Plan()]))
    placed = [trial for trial in problem.trials if len(_lowered(trial.plan)) == 3]
    assert placed[0].predicted["p50"].value == pytest.approx(placed[0].value("p50"))


def test_placements_try_the_whole_network_as_the_recipe_itself() -> None:
    """What was measured as a line is found again and not measured as a placement of every node."""
    problem = _placement_problem(0.0)
    problem.profiles = lambda plan: dict.fromkeys(_FLOAT_MS, 0.5 if _lowered(plan) else 1.0)
    list(placements(problem, [Plan()]))
    assert [trial.plan.moves for trial in problem.trials[1:]] == [(Int8(),)]


def test_placements_leave_kept_nodes_alone() -> None:
    problem = Planted(
        cost_ms=lambda plan: sum(_times(plan).values()),
        drop_of=lambda _plan: 0.0,
        moves={"int8": Kind("int8", Form.GRAPH, (Int8(),))},
        profiles=_times,
        keep=frozenset({"conv0"}),
    )
    list(placements(problem, [Plan()]))
    assert "conv0" not in _lowered(problem.fastest_kept().plan)


def test_regions_take_the_fastest_cut_that_keeps_the_quality() -> None:
    cuts = tuple(Settings("openvino", "bfloat16", (f"v{index}",)) for index in range(1, 4))

    def cost_ms(plan: Plan) -> float:
        return 1.0 if not plan.moves else 0.5 + 0.1 * sum(int(cut[1]) for cut in plan.moves[0].until)

    # Only the cut at v2 keeps the quality: it is not monotone in the cut.
    problem = Planted(
        cost_ms=cost_ms,
        drop_of=lambda plan: 0.0 if not plan.moves or plan.moves[0].until == ("v2",) else 3.0,
        moves={"regions": Kind("regions", Form.RUN, cuts)},
    )
    list(regions(problem))
    assert len(problem.trials) == 1  # no whole network in bfloat16 was seen to be faster: nothing to gain
    problem.evaluate(Plan.of([Settings("openvino", "bfloat16")]))
    list(regions(problem))
    assert problem.fastest_kept().plan.moves[0].until == ("v2",)
    assert (
        len(problem.trials) == 4
    )  # the original, the whole, v1 which breaks, v2 which holds; v3 is slower and not tried


def _kept(plan: Plan) -> Mapping[str, int]:
    move = move_of(plan, "prune")
    return dict.fromkeys(("conv0", "conv1", "conv2"), 16) | dict(move.keep if move else ())


def _pruned_times(plan: Plan) -> Mapping[str, float]:
    widths_ = _kept(plan)
    feeds = {"conv0": 3, "conv1": widths_["conv0"], "conv2": widths_["conv1"], "conv3": widths_["conv2"]}
    makes = {**widths_, "conv3": 16}
    return {node: feeds[node] * makes[node] / 256 for node in feeds}


# Channels of conv0 are dear, those of conv2 cost next to nothing to lose.
_WEIGHT = {"conv0": 1.0, "conv1": 0.1, "conv2": 0.01}


def _lost(plan: Plan) -> float:
    return sum(_WEIGHT[group] * (16 - kept) for group, kept in _kept(plan).items())


def _pruning_problem(text: str = "drop<=1", seconds: float = 100.0) -> Planted:
    return Planted(
        cost_ms=lambda plan: sum(_pruned_times(plan).values()),
        drop_of=_lost,
        moves={
            "prune": Kind("prune", Form.MODULE, (Prune(),)),
            "recover": Kind("recover", Form.MODULE, (Recover(),)),
        },
        profiles=_pruned_times,
        losses=_lost,
        text=text,
        seconds=seconds,
    )


def test_widths_cut_the_channels_that_cost_least_quality() -> None:
    problem = _pruning_problem()
    list(widths(problem))
    best = problem.fastest_kept()
    kept = _kept(best.plan)
    assert best.value("p50") < problem.trials[0].value("p50")
    assert kept["conv0"] == 16
    assert kept["conv2"] < 16


def test_widths_go_on_from_the_recovered_weights_of_the_step_before() -> None:
    problem = _pruning_problem()
    problem.drop_of = lambda plan: 0.1 * _lost(plan)
    list(widths(problem))
    kinds = [[move.kind for move in trial.plan.moves] for trial in problem.trials[1:]]
    held = [trial for trial in problem.trials[1:] if problem.holds_quality(trial)]
    assert kinds[0] == ["prune", "recover"]
    assert len(held) >= 2
    assert held[1].plan.moves[: len(held[0].plan.moves)] == held[0].plan.moves


def test_a_step_that_breaks_the_quality_is_trained_on_before_a_smaller_one_is_taken() -> None:
    problem = _pruning_problem()
    problem.drop_of = lambda plan: 0.0 if not plan.moves else 5.0
    list(widths(problem))
    first, second, third = (trial.plan.moves for trial in problem.trials[1:4])
    assert [move.kind for move in second] == [*(move.kind for move in first), "recover"]
    assert [move.kind for move in third] == ["prune", "recover"]
    assert sum(_kept(Plan(third)).values()) > sum(_kept(Plan(first)).values())


def test_widths_drop_a_branch_where_narrower_layers_are_no_faster() -> None:
    def times(plan: Plan) -> Mapping[str, float]:
        left = ("conv0", "conv3") if move_of(plan, "drop_branches") else ("conv0", "conv1", "conv2", "conv3")
        return dict.fromkeys(left, 1.0)

    problem = Planted(
        cost_ms=lambda plan: sum(times(plan).values()),
        drop_of=lambda plan: 0.5 if move_of(plan, "drop_branches") else 0.0,
        moves={
            "prune": Kind("prune", Form.MODULE, (PruneWithin(),)),
            "drop_branches": Kind("drop_branches", Form.MODULE, ()),
            "recover": Kind("recover", Form.MODULE, (Recover(),)),
        },
        profiles=times,
        losses=lambda plan: 0.3 if move_of(plan, "drop_branches") else 0.1 * len(plan.moves),
        network=residual(),
    )
    list(widths(problem))
    best = problem.fastest_kept()
    assert move_of(best.plan, "drop_branches").branches == ("add",)
    assert move_of(best.plan, "prune").keep == ()  # what went with the branch is not cut as well
    assert best.value("p50") == 2.0


def test_the_first_step_is_smaller_where_there_is_no_time_to_train_on() -> None:
    short, long = _pruning_problem(seconds=3.0), _pruning_problem()
    for problem in (short, long):
        list(widths(problem))
    assert sum(_kept(short.trials[1].plan).values()) > sum(_kept(long.trials[1].plan).values())


def test_widths_stop_at_the_first_candidate_within_the_budget() -> None:
    whole_ms = sum(_pruned_times(Plan()).values())
    problem = _pruning_problem(f"p50<={0.85 * whole_ms}ms, drop<=1")
    list(widths(problem))
    assert [problem.holds(trial) for trial in problem.trials].index(True) == len(problem.trials) - 1


def test_widths_do_not_begin_a_recovery_that_cannot_end_in_time() -> None:
    problem = _pruning_problem(seconds=1.5)
    list(widths(problem))
    assert len(problem.trials) == 1


def test_knapsack_stops_before_training_when_the_budget_is_met() -> None:
    problem = _pruning_problem("p50<=1s, drop<=1")
    problem.moves = {**problem.moves, "runtime": _RUNTIMES}
    list(Knapsack().search(problem))
    assert all(move_of(trial.plan, "prune") is None for trial in problem.trials)


class _LuckyTrials(Planted):
    """Every trial of a network seems twice as fast as it is; a race tells the truth."""

    def evaluate(self, plan: Plan, predicted: Mapping[str, Predicted] | None = None) -> Trial:
        trial = super().evaluate(plan, predicted)
        lucky = {name: replace(figure, value=figure.value / 2) for name, figure in trial.costs.items()}
        if plan.moves:
            self.trials[-1] = trial = replace(trial, costs=lucky)
        return trial


@pytest.mark.parametrize(("kind", "goes_on"), [(Planted, False), (_LuckyTrials, True)])
def test_a_latency_that_only_one_measurement_met_does_not_end_the_search(
    kind: type[Planted], goes_on: bool
) -> None:
    whole_ms = sum(_pruned_times(Plan()).values())
    pace = 0.5 if kind is Planted else 0.9
    problem = kind(
        cost_ms=lambda plan: sum(_pruned_times(plan).values()) * (pace if move_of(plan, "runtime") else 1.0),
        drop_of=_lost,
        moves={**_pruning_problem().moves, "runtime": Kind("runtime", Form.RUN, (Settings("openvino"),))},
        profiles=_pruned_times,
        losses=_lost,
        text=f"p50<={0.6 * whole_ms}ms, drop<=1",
    )
    list(Knapsack().search(problem))
    assert problem.holds(problem.trials[1])
    assert any(move_of(trial.plan, "prune") for trial in problem.trials) == goes_on
