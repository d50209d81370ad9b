"""Random data of any size from a seed.

Rows are made in units of a fixed number, each by a generator of its own, so that a row's values
depend on the seed and its number alone: not on how many rows there are, nor on how they are
chunked. Memory is that of one unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
UNIT_ROWS: Final = 4096
FACTORS: Final = 5
SHARED: Final = 0.3  # of a dense feature's variance is due to the common factors


@dataclass(frozen=True)
class Rows:
    """Features x (m, n), dense or CSR, a real label y (m,) and one y01 (m,) in {0, 1}."""

    x: Any
    y: Array
    y01: Array


@dataclass(frozen=True)
class Dense:
    """Correlated normal features of unequal scales and means.

    Attributes:
        rows, features: m, n.
        seed: of everything.
    """

    rows: int
    features: int
    seed: int

    def units(self) -> Iterator[Rows]:
        """The rows, unit by unit."""
        fixed = np.random.default_rng([self.seed, 0])
        n = self.features
        scale = 10.0 ** fixed.uniform(-1.5, 1.5, n)
        mean = scale * fixed.uniform(-2.0, 2.0, n)
        loading = fixed.normal(size=(FACTORS, n)) * np.sqrt(SHARED / FACTORS)
        beta = _coefficients(fixed, n)
        for number, rows in _units(self.rows):
            own = np.random.default_rng([self.seed, 1, number])
            u = own.normal(size=(UNIT_ROWS, n)) * np.sqrt(1 - SHARED)
            u += own.normal(size=(UNIT_ROWS, FACTORS)) @ loading
            # a product of fewer rows may sum in another order: the whole unit is always computed
            y, y01 = _labels(own, u @ beta)
            yield Rows((mean + scale * u)[:rows], y[:rows], y01[:rows])


@dataclass(frozen=True)
class Sparse:
    """Exactly `nonzeros` positive values a row; the k-th column appears about 1/k as often as the
    first, as words do.

    Attributes:
        rows, features, nonzeros: m, n, and non-zeros of a row.
        seed: of everything.
    """

    rows: int
    features: int
    nonzeros: int
    seed: int

    def units(self) -> Iterator[Rows]:
        """The rows, unit by unit."""
        fixed = np.random.default_rng([self.seed, 2])
        scale = 10.0 ** fixed.uniform(-0.5, 0.5, self.features)
        beta = _coefficients(fixed, self.features) / scale
        edges = bands(self.features, self.nonzeros)
        for number, rows in _units(self.rows):
            own = np.random.default_rng([self.seed, 3, number])
            # one column out of each band: distinct, ascending, and a band's width rules how often
            columns = own.integers(edges[:-1], edges[1:], size=(UNIT_ROWS, self.nonzeros))
            values = scale[columns] * (0.5 + own.exponential(size=columns.shape))
            signal = np.einsum("ij,ij->i", values, beta[columns])
            y, y01 = _labels(own, signal - 1.0)
            x = sparse.csr_array(
                (
                    values[:rows].ravel(),
                    columns[:rows].ravel(),
                    np.arange(rows + 1) * self.nonzeros,
                ),
                shape=(rows, self.features),
            )
            yield Rows(x, y[:rows], y01[:rows])


def bands(features: int, count: int) -> NDArray[np.int64]:
    """Edges (count + 1,) of `count` bands of columns whose widths grow geometrically."""
    if not 1 <= count <= features:
        raise ValueError(f"a row of {features} features cannot hold {count} non-zeros")
    edges = np.floor(np.geomspace(1, features + 1, count + 1) + 1e-9).astype(np.int64) - 1
    # narrow bands hold one column at least, and leave one for each that follows
    for k in range(1, count + 1):
        edges[k] = max(edges[k], edges[k - 1] + 1)
    for k in range(count, 0, -1):
        edges[k] = min(edges[k], features - (count - k))
    edges[-1] = features
    return edges


def _units(rows: int) -> Iterator[tuple[int, int]]:
    """(number, rows) of each unit."""
    for number, start in enumerate(range(0, rows, UNIT_ROWS)):
        yield number, min(UNIT_ROWS, rows - start)


def _coefficients(generator: np.random.Generator, n: int) -> Array:
    """One feature in five counts (every one of few); on standardized features, (n,)."""
    beta = generator.normal(size=n)
    beta[generator.random(n) < (0.8 if n >= 10 else 0.0)] = 0.0
    return beta / max(1.0, float(np.linalg.norm(beta)) / 1.5)


def _labels(generator: np.random.Generator, signal: Array) -> tuple[Array, Array]:
    """(y, y01) for a signal (m,): with normal and with logistic noise."""
    y = 3.0 + 2.0 * signal + generator.normal(size=len(signal))
    y01 = (signal - 0.5 + generator.logistic(size=len(signal)) > 0).astype(float)
    return y, y01
