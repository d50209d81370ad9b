"""Dense and sparse blocks against numpy on the raw matrix."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray
from scipy import sparse

from w261reg.blocks import Block, Census, DenseBlock, SparseBlock, symmetric
from w261reg.blocks.census import MAX_LABELS
from w261reg.blocks.dense import origin_of

Array = NDArray[np.float64]
KINDS = ["dense", "sparse"]


def raw(rows: int = 50, n: int = 6) -> Array:
    """Half zeros; a column of years, a negative one with an origin, one constant, one empty."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(rows, n))
    x[rng.random((rows, n)) < 0.5] = 0.0
    x[:, 1] = rng.integers(1950, 2020, rows)
    x[:, 2] = -1000 - rng.random(rows)
    x[:, 3] = 7.0
    x[:, 4] = 0.0
    return x


def make(kind: str, x: Array) -> Block:
    rng = np.random.default_rng(5)
    y, weight = rng.normal(size=len(x)), rng.uniform(0.1, 2, len(x))
    census = Census(rows=len(x))
    if kind == "sparse":
        return SparseBlock.of(sparse.csr_array(x), y, weight, census)
    return DenseBlock.of(x.copy(), y, weight, census)


def gram_of(block: Block, h: Array, centre: Array, scale: Array) -> Array:
    """D (X - centre)' diag(h) (X - centre) D, by `add_gram` to nothing."""
    n = block.n_features
    total = np.zeros((n, n), order="F")
    block.add_gram(total, h, centre, scale)
    return symmetric(total)


@pytest.mark.parametrize("centred", ["zero", "mean", "own", "far"])
@pytest.mark.parametrize("kind", KINDS)
def test_linear_algebra_is_numpys(kind: str, centred: str) -> None:
    rng = np.random.default_rng(6)
    x = raw()
    block = make(kind, x)
    n = x.shape[1]
    centre = {
        "zero": np.zeros(n),
        "mean": x.mean(axis=0),
        "own": block.reference(),
        "far": rng.normal(size=n) * 100,
    }[centred]
    scale, h = rng.uniform(0.1, 3, size=(n,)), rng.uniform(0, 2, size=(len(x),))
    h[:3] = 0.0
    a = x - centre
    size = np.abs(x).max() + np.abs(centre).max()
    for k in (1, 3):
        w, r = rng.normal(size=(n, k)), rng.normal(size=(len(x), k))
        assert block.dot(w, centre).shape == (len(x), k)
        assert block.t_dot(r, centre).shape == (n, k)
        np.testing.assert_allclose(block.dot(w, centre), a @ w, rtol=1e-13, atol=1e-13 * size)
        np.testing.assert_allclose(block.t_dot(r, centre), a.T @ r, rtol=1e-13, atol=1e-12 * size)
    gram = (a * scale).T @ ((a * scale) * h[:, None])
    tolerance = float(1e-13 * size**2 * len(x))
    np.testing.assert_allclose(gram_of(block, h, centre, scale), gram, rtol=1e-13, atol=tolerance)
    squares = block.squares(h, centre, scale)
    np.testing.assert_allclose(squares, np.diagonal(gram), rtol=1e-13, atol=tolerance)
    design = np.sqrt(h)[:, None] * a * scale
    np.testing.assert_allclose(
        block.design(h, centre, scale), design, rtol=1e-14, atol=1e-15 * size
    )


def test_dense_keeps_the_digits_of_centred_columns() -> None:
    """A spread of 1e-3 beside 1e6: nothing of it is lost to the size."""
    rng = np.random.default_rng(7)
    spread = rng.integers(0, 2**20, (40, 1)).astype(float) * 2.0**-30
    x = 2.0**20 + spread  # exact
    block = make("dense", x)
    one, w = np.ones(1), np.ones((1, 1))
    assert block.reference()[0] == x.min()
    centre = block.reference()
    relative = spread - spread.min()
    np.testing.assert_array_equal(block.dot(w, centre), relative)
    assert gram_of(block, np.ones(40), centre, one)[0, 0] == pytest.approx(
        float(relative[:, 0] @ relative[:, 0]), rel=1e-14
    )


@pytest.mark.parametrize("kind", KINDS)
def test_range_and_shape(kind: str) -> None:
    x = raw()
    block = make(kind, x)
    low, high = block.range()
    np.testing.assert_array_equal(low, x.min(axis=0))
    np.testing.assert_array_equal(high, x.max(axis=0))
    assert (block.rows, block.n_features) == x.shape


def test_a_sparse_column_far_from_zero_keeps_its_digits() -> None:
    """An entry in every row, as CSR often has: the same digits as dense."""
    rng = np.random.default_rng(4)
    x = np.column_stack([1e9 + rng.normal(size=400), np.where(rng.random(400) < 0.2, 1.0, 0.0)])
    centre = x.mean(axis=0)
    blocks = [make(kind, x) for kind in ("dense", "sparse")]
    dense, thin = (gram_of(b, np.ones(400), centre, np.ones(2)) for b in blocks)
    np.testing.assert_allclose(thin, dense, rtol=1e-13)
    np.testing.assert_array_equal(blocks[1].design(np.ones(400), np.zeros(2), np.ones(2)), x)


@pytest.mark.parametrize(("rows", "n"), [(1, 3), (8192, 2), (8193, 2), (30_000, 2), (1500, 400)])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_cover_the_rows_in_order(kind: str, rows: int, n: int) -> None:
    x = np.random.default_rng(9).normal(size=(rows, n)) + 5.0
    block = make(kind, x)
    pieces = list(block.pieces())
    np.testing.assert_array_equal(np.concatenate([p.y for p in pieces]), block.y)
    np.testing.assert_array_equal(np.concatenate([p.weight for p in pieces]), block.weight)
    parts = [p.design(np.ones(p.rows), np.zeros(n), np.ones(n)) for p in pieces]
    np.testing.assert_array_equal(np.vstack(parts), x)
    assert all(p.rows > 0 for p in pieces)
    assert [p.census.rows for p in pieces] == [rows] + [0] * (len(pieces) - 1)
    if kind == "dense" and rows > 8192:
        assert len(pieces) > 1


@given(
    stn.arrays(
        np.float64,
        stn.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.floats(allow_nan=False, allow_infinity=False)
        | st.floats(1e9, 1.9e9)
        | st.floats(-3e-300, -2e-300)
        | st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308]),
    )
)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_origin_is_lossless(x: Array) -> None:
    origin = origin_of(x.min(axis=0), x.max(axis=0))
    # -0.0 + 0.0 is 0.0: the sign of zero is the one thing that may change
    np.testing.assert_array_equal((x - origin) + origin, x)
    block = DenseBlock.of(x.copy(), np.zeros(len(x)), np.ones(len(x)), Census())
    _is(block, x)
    columns = DenseBlock.of_columns(
        iter(x.T.copy()), x.shape[1], block.y, block.weight, block.census
    )
    _is(columns, x)
    np.testing.assert_array_equal(columns.origin, block.origin)


def _is(block: DenseBlock, x: Array) -> None:
    """The block holds x, and knows its range; also where it has to look for it."""
    np.testing.assert_array_equal(np.hstack(list(block.parts)).T + block.origin, x)
    for known in (block, replace(block, bounds=None)):
        low, high = known.range()
        np.testing.assert_array_equal(low, x.min(axis=0))
        np.testing.assert_array_equal(high, x.max(axis=0))


@given(
    st.floats(1e-300, 1e300),
    st.lists(st.floats(1.0, 2.0), min_size=2, max_size=20),
    st.sampled_from([-1.0, 1.0]),
)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_origin_of_narrow_columns_is_exact(size: float, factors: list[float], sign: float) -> None:
    x = sign * size * np.array(factors)[:, None]
    if not np.abs(x).max() <= 2 * np.abs(x).min():
        return
    origin = origin_of(x.min(axis=0), x.max(axis=0))
    assert origin[0] == x[np.argmin(np.abs(x)), 0]
    np.testing.assert_array_equal((x - origin) + origin, x)


def test_origin_of_nothing() -> None:
    nothing = np.zeros(0)
    empty = DenseBlock.of(np.zeros((0, 3)), nothing, nothing, Census())
    assert empty.origin.tolist() == [0.0, 0.0, 0.0]
    columns = DenseBlock.of_columns(iter([nothing] * 3), 3, nothing, nothing, Census())
    assert columns.origin.tolist() == [0.0, 0.0, 0.0]
    low, high = np.array([1.0, -1.0, 3.0]), np.array([2.5, 1.0, 4.0])
    assert origin_of(low, high).tolist() == [0.0, 0.0, 3.0]


# --- the census ---------------------------------------------------------------------------------


def test_census_adds_up() -> None:
    left = Census(3, {("a", "null"): 1}, {0.0: 2, 1.0: 1})
    right = Census(4, {("a", "null"): 2, ("b", "NaN"): 1}, {1.0: 4}, "torn")
    both = left.merge(right)
    assert both == Census(7, {("a", "null"): 3, ("b", "NaN"): 1}, {0.0: 2, 1.0: 5}, "torn")
    assert Census().merge(left) == left == left.merge(Census())


def test_census_keeps_the_first_labels_whatever_the_order() -> None:
    parts = [Census(1, labels={float(v): 1}) for v in range(MAX_LABELS + 9)]
    forward, backward = Census(), Census()
    for part in parts:
        forward = forward.merge(part)
        backward = part.merge(backward)
    assert list(forward.labels) == list(backward.labels) == [float(v) for v in range(MAX_LABELS)]
