"""Signs of margins along directions, against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import block
from w261reg.aggregators import AlongDirections, Direction
from w261reg.aggregators.directions import Margins

Array = NDArray[np.float64]


def direction(w: object, b: object) -> Direction:
    return Direction(np.array(w, dtype=object), np.array(b, dtype=object))


def margins(way: Direction, x: Array, y: Array) -> list[list[Fraction]]:
    """Of every row, one a competing class."""
    found = []
    outputs = way.w.shape[1]
    for row, label in zip(x.tolist(), y.tolist(), strict=True):
        z = [
            sum((Fraction(v) * int(w) for v, w in zip(row, way.w[:, k], strict=True)), Fraction(0))
            + int(way.b[k])
            for k in range(outputs)
        ]
        if outputs == 1:
            found.append([z[0] if label else -z[0]])
        else:
            own = int(label)
            found.append([z[own] - z[k] for k in range(outputs) if k != own])
    return found


def run(ways: list[Direction], x: Array, y: Array, leaves: int, sparse: bool = False) -> Margins:
    aggregator = AlongDirections(ways, 6)
    states = []
    for cut in np.array_split(np.arange(len(y)), leaves):
        state = aggregator.begin(0)
        if len(cut):
            part = block(x[cut], y[cut], np.ones(len(cut)), sparse)
            state = aggregator.add(state, part)
        states.append(state)
    total = states[0]
    for state in states[1:]:
        total = aggregator.merge(total, state)
    return total


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_signs(outputs: int, sparse: bool) -> None:
    """Rows that floats cannot tell from ties among them, with offsets and sentinels."""
    rng = np.random.default_rng(3)
    kept = 0
    for trial in range(60):
        m, n = int(rng.integers(1, 12)), int(rng.integers(1, 4))
        x = rng.integers(-2, 3, (m, n)).astype(float)
        if trial % 3 == 1:
            x += 2.0**45
        if trial % 3 == 2:
            x[0] *= 1e12
        y = rng.integers(0, max(2, outputs), m).astype(float)
        w = rng.integers(-2, 3, (n, outputs)).astype(object)
        b = rng.integers(-2, 3, outputs).astype(object)
        if trial % 3 == 1:
            b = b - 2**45 * w.sum(axis=0)
        if trial % 2:
            # far more digits than a double has
            w, b = w * 10**60 + rng.integers(-1, 2, (n, outputs)).astype(object), b * 10**60
        way = direction(w, b)
        found = run([way, Direction(-way.w, -way.b)], x, y, int(rng.integers(1, 4)), sparse)
        own = [value for row in margins(way, x, y) for value in row]
        for k, sign in ((0, 1), (1, -1)):
            negative = any(sign * value < 0 for value in own)
            assert bool(found.negative[k]) == negative
            assert not found.open[k]
            if not negative:
                kept += 1
                assert bool(found.positive[k]) == any(sign * value > 0 for value in own)
            else:
                plain = found.lowest[k][0]
                rows = plain.x.sum(axis=1)
                signs = [
                    min(sign * value for value in margins(way, row[None], label[None])[0])
                    for row, label in zip(rows, plain.y, strict=True)
                ]
                assert min(signs) < 0  # a row that shows it comes home
    assert kept > 2


def test_lowest_rows_do_not_depend_on_the_cut() -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-8, 9, (60, 2)).astype(float)
    x = x[rng.integers(0, 60, 200)]  # each row several times, which come home once
    y = rng.integers(0, 2, 200).astype(float)
    way = direction([[3], [-7]], [1])
    whole = run([way], x, y, 1)
    for leaves in (2, 7):
        part = run([way], x, y, leaves)
        for one, other in zip(whole.lowest[0], part.lowest[0], strict=True):
            np.testing.assert_array_equal(np.sort(one.score), np.sort(other.score))
    lowest = whole.lowest[0][0]
    assert len(lowest.y) == 6
    rows = {
        (*row, label)
        for row, label in zip(map(tuple, lowest.x[:, 0].tolist()), lowest.y, strict=True)
    }
    assert len(rows) == 6
    assert lowest.score[0] == min(lowest.score)


def test_more_rows_than_are_checked_in_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w261reg.aggregators.directions.MOST_EXACT", 10)
    x = np.column_stack([np.arange(20.0), 3 * np.arange(20.0)])
    y = np.ones(20)
    way = direction([[3], [-1]], [0])
    assert run([way], x, y, 1).open[0]
    assert not run([way], x[:10], y[:10], 1).open[0]
    assert not run([way], np.repeat(x[:5], 9, axis=0), np.ones(45), 2).open[0]


def test_weights_beyond_the_range_of_floats() -> None:
    way = direction([[10**400], [1]], [0])
    x = np.array([[0.0, 2.0], [0.0, 3.0], [0.0, 0.0]])
    found = run([way], x, np.ones(3), 1)
    assert found.positive[0]
    assert not found.negative[0]
    found = run([way], x, np.array([1.0, 0.0, 1.0]), 1)
    assert found.negative[0]
