"""Some rows of a block, and blocks of float32: what is stored may round, what is computed not."""

import operator
from functools import reduce
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from w261reg.blocks import Block, Census, DenseBlock, SparseBlock, symmetric
from w261reg.blocks.dense import part_rows

Array = NDArray[np.float64]
KINDS = ["dense", "sparse"]
N = 6
LONG = part_rows(N) + 50


def raw(rows: int) -> Array:
    """Half zeros; a column of large values far apart, one with an origin, one constant."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, N)) * 10.0 ** np.arange(N)
    x[rng.random((rows, N)) < 0.5] = 0.0
    x[:, 1] = 1e6 + rng.random(rows)
    x[:, 2] = 0.1
    return x


def make(kind: str, x: Array) -> Block:
    rng = np.random.default_rng(5)
    y, weight = rng.normal(size=len(x)), rng.uniform(0.1, 2, len(x))
    if kind == "sparse":
        return SparseBlock.of(sparse.csr_array(x), y, weight, Census(len(x)))
    return DenseBlock.of(x.copy(), y, weight, Census(len(x)))


def values(block: Block) -> Array:
    """X (b, n)."""
    return block.design(np.ones(block.rows), np.zeros(N), np.ones(N))


def stored_values(block: Block) -> Array:
    """X - origin (b, n), as it is stored."""
    return block.design(np.ones(block.rows), block.reference(), np.ones(N))


@pytest.mark.parametrize("storage", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["none", "first", "last", "some", "second part", "all"])
def test_take_is_numpys(kind: str, which: str, storage: Any) -> None:
    block = make(kind, raw(LONG)).stored_as(storage)
    rows = {
        "none": np.zeros(0, dtype=np.int64),
        "first": np.array([0]),
        "last": np.array([LONG - 1]),
        "some": np.arange(3, LONG, 7),
        "second part": np.arange(LONG - 50, LONG),
        "all": np.arange(LONG),
    }[which]
    taken = block.take(rows)
    assert type(taken) is type(block)
    assert taken.n_features == N
    np.testing.assert_array_equal(taken.y, block.y[rows])
    np.testing.assert_array_equal(taken.weight, block.weight[rows])
    np.testing.assert_array_equal(values(taken), values(block)[rows])
    assert taken.census == Census()  # counted with the whole already
    if len(rows):
        low, high = taken.range()
        np.testing.assert_array_equal(low, values(taken).min(axis=0))
        np.testing.assert_array_equal(high, values(taken).max(axis=0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_census_tells_what_rounding_cost(kind: str) -> None:
    block = make(kind, raw(LONG))
    rounded = block.stored_as(np.float32)
    exact = stored_values(block)
    error = exact - exact.astype(np.float32)
    assert rounded.census.rounding is not None
    assert (rounded.census.rounding > 0).sum() >= 4
    np.testing.assert_allclose(rounded.census.rounding, block.weight @ error**2, rtol=1e-12, atol=0)
    assert rounded.census.rows == LONG
    assert block.census.rounding is None
    np.testing.assert_array_equal(stored_values(rounded), exact.astype(np.float32))
    np.testing.assert_array_equal(rounded.reference(), block.reference())
    np.testing.assert_array_equal(rounded.y, block.y)


@pytest.mark.parametrize("kind", KINDS)
def test_what_float32_holds_exactly_is_not_rounded(kind: str) -> None:
    x = np.round(raw(100) / 64) * 64
    x[:, 2] = 0.5
    block = make(kind, x)
    rounded = block.stored_as(np.float32)
    assert rounded.census.rounding is not None
    assert rounded.census.rounding.tolist() == [0.0] * N
    np.testing.assert_array_equal(values(rounded), x)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_takes_half_of_the_features_room(kind: str) -> None:
    block = make(kind, raw(LONG))
    count = np.count_nonzero(stored_values(block)) if kind == "sparse" else LONG * N
    saved = block.nbytes - block.stored_as(np.float32).nbytes
    assert saved >= 4 * count


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 3])
def test_algebra_of_float32_is_that_of_the_rounded_values(kind: str, k: int) -> None:
    """To the bit: the same operations on the same float64 numbers."""
    narrow = make(kind, raw(LONG)).stored_as(np.float32)
    wide = narrow.stored_as(np.float64)
    assert narrow.nbytes < wide.nbytes
    rng = np.random.default_rng(8)
    w, r = rng.normal(size=(N, k)), rng.normal(size=(LONG, k))
    h, scale = rng.uniform(0, 2, LONG), rng.uniform(0.1, 3, N)
    centre = values(wide).mean(axis=0)
    grams = []
    for block in (narrow, wide):
        total = np.zeros((N, N), order="F")
        block.add_gram(total, h, centre, scale)
        grams.append(symmetric(total))
    np.testing.assert_array_equal(grams[0], grams[1])
    for operation in (
        lambda block: block.dot(w, centre),
        lambda block: block.t_dot(r, centre),
        lambda block: block.squares(h, centre, scale),
        lambda block: block.design(h, centre, scale),
        lambda block: np.vstack(block.range()),
        lambda block: np.vstack([piece.dot(w, centre) for piece in block.pieces()]),
    ):
        found = operation(narrow)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, operation(wide))


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_round_to_no_rows(kind: str) -> None:
    empty = make(kind, np.zeros((0, N))).stored_as(np.float32)
    assert empty.rows == 0
    assert empty.census.rounding is not None
    assert empty.census.rounding.tolist() == [0.0] * N


def test_the_census_of_rounding_adds_up() -> None:
    left, right = Census(1, rounding=np.array([1.0, 2.0])), Census(2, rounding=np.array([3.0, 5.0]))
    for both in (
        left.merge(right),
        left.merge(Census()).merge(right),
        Census().merge(left.merge(right)),
    ):
        assert both.rounding is not None
        assert both.rounding.tolist() == [4.0, 7.0]
    assert Census().merge(Census()).rounding is None


@pytest.mark.parametrize("storage", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_times_weights_hang_on_the_row_alone(kind: str, storage: Any) -> None:
    """The same bits in any block and at any place in it, where a matrix product has others."""
    x = raw(LONG)
    x[:, 2] = 4.0 + x[:, 3] / 2**40  # a column whose origin differs from block to block
    x = np.float32(x).astype(float) if storage == np.float32 else x
    w, centre = np.array([0.3, 1e-6, -2.0, 0.0, 1e-4, 7.0]), np.zeros(N)
    centre[1] = 1e6
    whole = make(kind, x).stored_as(storage).row_dot(w, centre)
    # one after the other: sum() carries what rounding loses along from Python 3.12 on
    exact = [reduce(operator.add, map(float, (row - centre) * w)) for row in x]
    if storage == np.float64:
        np.testing.assert_array_equal(whole, exact)
    rng = np.random.default_rng(9)
    for rows in (1, 2, 3, 8, 17, 600):
        some = np.sort(rng.choice(LONG, rows, replace=False))
        own = make(kind, x).stored_as(storage).take(some).row_dot(w, centre)
        np.testing.assert_array_equal(own, whole[some])
        if storage == np.float64:
            np.testing.assert_array_equal(make(kind, x[some]).row_dot(w, centre), whole[some])
    assert make(kind, x[:0]).row_dot(w, centre).shape == (0,)
    np.testing.assert_array_equal(make(kind, x).row_dot(np.zeros(N), centre), np.zeros(LONG))
