"""Some of the rows: the same ones in each pass, and enough of them."""

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import block, example, leaves_of
from w261reg.aggregators import Aggregator, Evaluate, Sample, Summarise
from w261reg.blocks import Block, symmetric
from w261reg.datasets import LocalDataset
from w261reg.datasets.tree import finish, fold
from w261reg.losses import get_loss

Array = NDArray[np.float64]
State = tuple[float, ...]


class Labels(Aggregator[State]):
    """Which rows were seen."""

    name = "labels"

    def zero(self) -> State:
        return ()

    def add(self, state: State, block: Block) -> State:
        return (*state, *block.y.tolist())

    def merge(self, left: State, right: State) -> State:
        return left + right


def numbered(*rows: int) -> list[tuple[int, Block]]:
    """Leaves of so many rows; the labels number all rows."""
    ends = np.cumsum([0, *rows])
    return [
        (
            i,
            block(
                np.ones((count, 1)), np.arange(start, start + count, dtype=float), np.ones(count)
            ),
        )
        for i, (count, start) in enumerate(zip(rows, ends[:-1].tolist(), strict=True))
    ]


def sampled(leaves: list[tuple[int, Block]], every: int) -> State:
    return LocalDataset(leaves, 1).aggregate(Sample(Labels(), every))


def test_one_in_one_is_every_row() -> None:
    assert sampled(numbered(10, 3, 100), 1) == tuple(range(113))


@pytest.mark.parametrize("every", [2, 3, 7, 50, 1000])
def test_each_block_gives_one_row_in_so_many_rounded_up(every: int) -> None:
    leaves = numbered(100, 1, 99, 101)
    chosen = sampled(leaves, every)
    assert len(set(chosen)) == len(chosen)
    assert list(chosen) == sorted(chosen)
    for _, own in leaves:
        inside = [label for label in chosen if own.y[0] <= label <= own.y[-1]]
        assert len(inside) == -(-own.rows // every)


def test_the_same_rows_in_every_pass_and_process() -> None:
    leaves = numbered(100, 40)
    first = sampled(leaves, 4)
    assert sampled(pickle.loads(pickle.dumps(leaves)), 4) == first
    travelled: Any = pickle.loads(pickle.dumps(Sample(Labels(), 4)))
    assert LocalDataset(leaves, 1).aggregate(travelled) == first


def test_not_simply_every_so_manieth_row() -> None:
    """Rows often come in an order that repeats."""
    chosen = sampled(numbered(700), 7)
    assert {int(label) % 7 for label in chosen} == set(range(7))
    assert max(np.diff(chosen)) > 7
    # blocks of other lengths draw other rows
    other = sampled(numbered(693), 7)
    assert set(other) != {label for label in chosen if label < 693}


def test_blocks_without_rows_are_no_sample() -> None:
    assert sampled([(0, block(np.ones((0, 1)), np.zeros(0), np.zeros(0)))], 5) == ()


@pytest.mark.parametrize("as_sparse", [False, True])
@pytest.mark.parametrize("every", [1, 3])
def test_a_sample_is_a_monoid(every: int, as_sparse: bool) -> None:
    """Cut in any way, the same bits; nothing on either side changes nothing."""
    problem = example("bxe", m=200, weighted=True)
    leaves = leaves_of(problem.x, problem.y, problem.weight, 8, as_sparse)
    what = Sample(Summarise(4, gram=True), every)
    whole = finish(fold(leaves, what), what)[2]
    for cut in range(1, 8):
        nodes = [*fold(leaves[:cut], what), *fold(leaves[cut:], what)]
        again = finish(nodes, what)[2]
        np.testing.assert_array_equal(again.moments, whole.moments)
        assert again.weight == whole.weight
    alone = what.merge(what.zero(), what.add(what.zero(), leaves[0][1]))
    first = what.add(what.zero(), leaves[0][1])
    np.testing.assert_array_equal(alone.moments, first.moments)
    assert what.nbytes() == what.inner.nbytes()


@pytest.mark.parametrize("as_sparse", [False, True])
def test_what_a_sample_computes_is_that_of_its_rows(as_sparse: bool) -> None:
    problem = example("bxe", m=300, weighted=True)
    leaves = leaves_of(problem.x, problem.y, problem.weight, 4, as_sparse)
    seen = LocalDataset(leaves, 4).aggregate(Sample(Summarise(4, gram=True), 5))
    ends = np.cumsum([0] + [own.rows for _, own in leaves])
    labels = numbered(*[own.rows for _, own in leaves])
    rows = np.array(sampled(labels, 5), dtype=int)
    assert len(rows) < ends[-1] / 4
    used = problem.weight > 0
    x, s = problem.x[used][rows], problem.weight[used][rows]
    np.testing.assert_allclose(seen.mean, np.average(x, axis=0, weights=s), rtol=1e-13)
    zero = np.zeros(5, dtype=np.int64)
    np.testing.assert_allclose(
        seen.second_moments(zero, True)[:-1, :-1],
        np.cov(x.T, aweights=s, ddof=0),
        rtol=1e-12,
        atol=1e-14,
    )


@pytest.mark.parametrize("order_by", ["as drawn", "label", "first feature"])
def test_the_hessian_of_a_sample_is_near_the_whole_one(order_by: str) -> None:
    """In whatever order the rows lie: within 5 standard errors of each entry."""
    problem = example("bxe", m=20_000, n=6)
    order = {
        "as drawn": np.arange(20_000),
        "label": np.argsort(problem.y, kind="stable"),
        "first feature": np.argsort(problem.x[:, 0], kind="stable"),
    }[order_by]
    x, y = problem.x[order], problem.y[order]
    dataset = LocalDataset(leaves_of(x, y, np.ones(20_000), 5), 6)
    w = np.linspace(-0.5, 0.5, 6)
    evaluate = Evaluate(get_loss("bxe"), w[:, None], np.array([0.1]), np.zeros(6), 2)
    whole, some = dataset.aggregate(evaluate), dataset.aggregate(Sample(evaluate, 10))
    assert some.weight == pytest.approx(2000)
    z = x @ w + 0.1
    h = 1 / (2 + 2 * np.cosh(z))
    terms = h[:, None, None] * x[:, :, None] * x[:, None, :]
    error = terms.std(axis=0) / np.sqrt(2000)
    mean = symmetric(whole.hessian) / whole.weight
    found = symmetric(some.hessian) / some.weight
    assert (np.abs(found - mean) <= 5 * error).all()
    assert (found != mean).any()
