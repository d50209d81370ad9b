"""The same bits however the leaves are cut into tasks."""

import math
import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.problems import block, example, leaves_of
from w261reg.aggregators import Aggregator, Evaluate, Several, Summarise, Triangular
from w261reg.aggregators.scores import ClassificationScores, RegressionScores
from w261reg.blocks import Block
from w261reg.datasets import LocalDataset
from w261reg.datasets.tree import Leaf, Node, count_nodes, finish, fold
from w261reg.errors import InputError
from w261reg.losses import get_loss

Array = NDArray[np.float64]
State = tuple[float, Any]


class Brackets(Aggregator[State]):
    """A float sum, whose last bits tell the order of additions, and that order itself."""

    def zero(self) -> State:
        return 0.0, ()

    def add(self, state: State, block: Block) -> State:
        total, shape = state
        assert shape == ()
        return total + float(block.y.sum()), (float(block.y[0]),)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0]) * 1.1, (left[1], right[1])


def one_row(value: float) -> Block:
    return block(np.zeros((1, 1)), np.array([value]), np.ones(1))


@st.composite
def leaves_and_cuts(draw: st.DrawFn) -> tuple[list[Leaf], list[list[int]]]:
    numbers = draw(st.sets(st.integers(0, 70), min_size=1, max_size=45).map(sorted))
    leaves = [(number, one_row(0.1 + 1.7 * number)) for number in numbers]
    inside = st.lists(st.integers(0, len(leaves)), max_size=9).map(sorted)
    return leaves, draw(st.lists(inside, min_size=1, max_size=4))


def tasks_of(leaves: list[Leaf], cuts: list[int]) -> list[list[Leaf]]:
    edges = [0, *cuts, len(leaves)]
    return [leaves[a:b] for a, b in pairwise(edges)]


@given(leaves_and_cuts(), st.randoms(use_true_random=False))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_every_cut_gives_the_same_tree(
    case: tuple[list[Leaf], list[list[int]]], random: Any
) -> None:
    leaves, all_cuts = case
    whole = finish(fold(leaves, Brackets()), Brackets())
    order = _flat(whole[2][1])
    assert order == [float(b.y[0]) for _, b in leaves]  # leaves stay in order
    for cuts in all_cuts:
        nodes: list[Node[State]] = []
        for task in tasks_of(leaves, cuts):
            own = list(fold(task, Brackets()))
            assert len(own) == count_nodes([leaf for leaf, _ in task])
            nodes += own
        random.shuffle(nodes)  # tasks come back in any order
        assert finish(nodes, Brackets()) == whole


@given(leaves_and_cuts(), st.integers(0, 8), st.integers(0, 8))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_levels_of_merging_give_the_same_tree(
    case: tuple[list[Leaf], list[list[int]]], top: int, second: int
) -> None:
    """As RddDataset merges: tasks finish the subtrees below `top`, and what spans them waits."""
    leaves, all_cuts = case
    whole = finish(fold(leaves, Brackets()), Brackets())
    for cuts in all_cuts:
        nodes = [n for task in tasks_of(leaves, cuts) for n in fold(task, Brackets())]
        for level in (top, top + second):
            above = [node for node in nodes if node[0] > level]
            groups: dict[int, list[Node[State]]] = {}
            for node in nodes:
                if node[0] <= level:
                    groups.setdefault(node[1] >> (level - node[0]), []).append(node)
            merged = [finish(group, Brackets(), level) for group in groups.values()]
            assert all(node[0] == level for node in merged)
            assert [node[1] for node in merged] == list(groups)
            nodes = above + merged
        state = finish(nodes, Brackets())[2]
        assert state == whole[2]


@given(st.integers(0, 2000), st.integers(1, 700))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_contiguous_leaves_leave_few_nodes(first: int, count: int) -> None:
    nodes = count_nodes(range(first, first + count))
    assert nodes <= max(1, 2 * math.log2(count)) if count > 1 else nodes == 1


def test_fold_of_contiguous_leaves_leaves_few_nodes() -> None:
    aggregator = Brackets()
    for first in (0, 1, 5, 37):
        leaves = [(i, one_row(float(i))) for i in range(first, first + 64)]
        nodes = list(fold(leaves, aggregator))
        assert len(nodes) == count_nodes(range(first, first + 64)) <= 12
        if first == 0:
            assert [(level, index) for level, index, _ in nodes] == [(6, 0)]


def test_siblings_only() -> None:
    """1 and 2 are neighbours but not siblings; 2 and 3 are."""
    leaves = [(i, one_row(float(i))) for i in (1, 2, 3, 4)]
    nodes = list(fold(leaves, Brackets()))
    assert [(level, index) for level, index, _ in nodes] == [(0, 1), (1, 1), (0, 4)]
    assert finish(nodes, Brackets())[2][1] == (((1.0,), ((2.0,), (3.0,))), (4.0,))


def test_blocks_of_one_leaf_are_added_not_merged() -> None:
    class Count(Aggregator[list[str]]):
        def zero(self) -> list[str]:
            return []

        def add(self, state: list[str], block: Block) -> list[str]:
            return [*state, f"+{block.y[0]:g}"]

        def merge(self, left: list[str], right: list[str]) -> list[str]:
            return [*left, "|", *right]

    leaves = [(0, one_row(1.0)), (0, one_row(2.0)), (1, one_row(3.0))]
    ((_, _, state),) = fold(leaves, Count())
    assert state == ["+1", "+2", "|", "+3"]


# --- the package's own aggregators --------------------------------------------------------------


def aggregators(loss: str) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    w, b = rng.normal(size=(4, 1)), rng.normal(size=1)
    centre, scale = rng.normal(size=4), np.array([1.0, 0.5, 2.0, 4.0])
    scores = ClassificationScores if loss == "bxe" else RegressionScores
    return {
        "moments": Summarise(4, False),
        "gram": Summarise(4, True),
        "value": Evaluate(get_loss(loss), np.hstack([w, 2 * w]), np.append(b, 1), centre, 0),
        "gradient": Evaluate(get_loss(loss), w, b, centre, 1),
        "hessian": Evaluate(get_loss(loss), w, b, centre, 2, scale),
        "triangular": Triangular(centre, scale, 0.3),
        "scores": scores(get_loss(loss), w[:, 0], float(b[0])),
        "several": Several(Summarise(4, True), Triangular(centre, scale, 0.3)),
    }


def fresh(leaves: list[Leaf]) -> list[Leaf]:
    """As another process would have them."""
    copied: list[Leaf] = pickle.loads(pickle.dumps(leaves))
    return copied


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("name", sorted(aggregators("bxe")))
@pytest.mark.parametrize("loss", ["mse", "bxe"])
def test_same_bits_for_any_number_of_tasks(loss: str, name: str, as_sparse: bool) -> None:
    problem = example(loss, m=400, weighted=True)
    leaves = leaves_of(problem.x, problem.y, problem.weight, 13, as_sparse)
    del leaves[4]  # a leaf without rows of positive weight may be missing
    answers = set()
    for cuts in ([], [6], [1, 2, 3, 5, 8, 11], list(range(1, 12))):
        aggregator = aggregators(loss)[name]
        nodes = [n for task in tasks_of(fresh(leaves), cuts) for n in fold(task, aggregator)]
        nodes = pickle.loads(pickle.dumps(nodes))
        answers.add(_bits(finish(reversed(nodes), aggregator)[2]))
    alone = LocalDataset(fresh(leaves), 4).aggregate(aggregators(loss)[name])
    assert answers == {_bits(alone)}


def test_another_tree_has_other_bits() -> None:
    """What the test above would see if merging depended on the tasks."""
    problem = example("bxe", m=400)
    leaves = leaves_of(problem.x, problem.y, problem.weight, 13)
    aggregator = aggregators("bxe")["hessian"]
    one = finish(fold(leaves, aggregator), aggregator)[2]
    shifted = [(leaf + 1, b) for leaf, b in leaves]
    other = finish(fold(shifted, aggregator), aggregator)[2]
    np.testing.assert_allclose(one.hessian, other.hessian, rtol=1e-12, atol=1e-12)
    assert _bits(one) != _bits(other)


def test_states_do_not_share_the_blocks_memory() -> None:
    problem = example("mse", m=60)
    leaves = leaves_of(problem.x, problem.y, problem.weight, 3)
    for name, aggregator in aggregators("mse").items():
        kept = finish(fold(fresh(leaves), aggregator), aggregator)[2]
        expected = _bits(kept)
        spoiled = fresh(leaves)
        state = finish(fold(spoiled, aggregator), aggregator)[2]
        for _, spoil in spoiled:
            spoil.y[:] = np.nan
            spoil.weight[:] = np.nan
            for part in spoil.parts:  # type: ignore[attr-defined]
                part[:] = np.nan
        assert _bits(state) == expected, name


def test_passes_are_counted() -> None:
    dataset = LocalDataset([(0, one_row(1.0)), (5, one_row(2.0))], 1)
    assert dataset.passes == 0
    for _ in range(3):
        dataset.aggregate(Summarise(1, True))
    assert dataset.passes == 3
    assert "2 leaves" in dataset.parallelism


def test_no_leaves() -> None:
    with pytest.raises(InputError, match="no rows"):
        LocalDataset([], 3).aggregate(Summarise(3, True))


def _flat(shape: Any) -> list[float]:
    return [shape] if isinstance(shape, float) else [v for part in shape for v in _flat(part)]


def _bits(state: Any) -> bytes:
    """A state's numbers bit for bit."""
    if isinstance(state, np.ndarray):
        return str(state.shape).encode() + state.tobytes()
    if state is None or isinstance(state, float | int | str | bool):
        return repr(state).encode()
    if isinstance(state, list | tuple):
        return b";".join(map(_bits, state))
    if isinstance(state, dict):
        return _bits(sorted(state.items()))
    return b",".join(_bits(value) for _, value in sorted(vars(state).items()))
