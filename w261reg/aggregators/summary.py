"""Moments of the features and the label, or the whole Gram matrix, in one pass."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block, Census
from w261reg.blocks.dense import origin_of

Array = NDArray[np.float64]
# the exponent of a column without spread: below every other, so that any other wins a merge
NO_SPREAD = -1100


@dataclass
class Summary:
    """Centred second moments of n features and, last, the label (p = n + 1).

    The mean of column j is reference_j + offset_j, kept apart so that a column of large values and
    small spread keeps the digits of its spread. Moments are stored relative to 2^exponent_j, so
    that columns of 1e-150 and 1e150 neither underflow nor overflow.

    Attributes:
        census: what packing saw.
        rows: rows of positive weight.
        weight: S, the sum of weights.
        weight_squares: the sum of squared weights.
        reference, offset: (p,) each.
        exponent: (p,) integers.
        moments: 2^-(e_i + e_j) sum s (x_i - mean_i)(x_j - mean_j); the Gram matrix (p, p), or
            without it (2, p): the squares' row and the products with the label.
        gram: which of the two `moments` is.
        low, high: (p,) smallest and largest values.
    """

    census: Census = field(default_factory=Census)
    rows: int = 0
    weight: float = 0.0
    weight_squares: float = 0.0
    reference: Array = field(default_factory=lambda: np.zeros(0))
    offset: Array = field(default_factory=lambda: np.zeros(0))
    exponent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    moments: Array = field(default_factory=lambda: np.zeros((0, 0)))
    gram: bool = False
    low: Array = field(default_factory=lambda: np.zeros(0))
    high: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def mean(self) -> Array:
        """Weighted means of the features (n,)."""
        return (self.reference + self.offset)[:-1]

    @property
    def y_mean(self) -> float:
        """Weighted mean of the label."""
        return float(self.reference[-1] + self.offset[-1])

    def sd(self, divisor: float | None = None) -> Array:
        """sqrt(sum s (x - mean)^2 / divisor) of features and label (p,); divisor None is S."""
        divisor = self.weight if divisor is None else divisor
        diagonal = np.diagonal(self.moments) if self.gram else self.moments[0]
        if divisor <= 0:
            return np.zeros_like(diagonal)
        return np.ldexp(np.sqrt(diagonal / divisor), self.exponent)

    def second_moments(self, scale_exponent: NDArray[np.int64], centred: bool) -> Array:
        """(1/S) D X'SX D with D = diag(2^-scale_exponent), of features and label: (p, p).

        About the means if `centred`, else about 0. Needs the Gram matrix.
        """
        shift = self.exponent - scale_exponent
        total = np.ldexp(self.moments / self.weight, np.add.outer(shift, shift))
        if not centred:
            mean = np.ldexp(self.reference + self.offset, -scale_exponent)
            total += np.multiply.outer(mean, mean)
        return total

    def label_covariance(self, scale_exponent: NDArray[np.int64]) -> Array:
        """(1/S) sum s (x - mean)(y - mean) 2^-scale_exponent of the features: (n,)."""
        row = self.moments[-1, :-1]
        shift = self.exponent[:-1] + self.exponent[-1] - scale_exponent[:-1]
        return np.ldexp(row / self.weight, shift)


class Summarise(Aggregator[Summary]):
    """The first pass: census, means, variances and covariances with the label; or the Gram matrix.

    Each run of rows is centred on its own mean, and two runs merge by the pairwise formula of Chan,
    Golub and LeVeque (1983), *Algorithms for Computing the Sample Variance*, so that no digits go
    to large means.
    """

    def __init__(self, n_features: int, gram: bool) -> None:
        self.n = n_features
        self.gram = gram
        self.name = "read, pack, Gram matrix" if gram else "read, pack, moments"

    def zero(self) -> Summary:
        return Summary()

    def add(self, state: Summary, block: Block) -> Summary:
        return self.merge(state, self._of(block))

    def nbytes(self) -> int:
        p = self.n + 1
        return 8 * p * (p if self.gram else 2) + 40 * p + 4096

    def _of(self, block: Block) -> Summary:
        if block.rows == 0 or block.census.defects:  # defects end the run: no need of moments
            return Summary(census=block.census)
        s = block.weight
        weight = float(s.sum())
        y_ref = origin_of(block.y[:, None])
        y = block.y - y_ref
        reference = np.append(block.reference(), y_ref)
        low, high = block.range()
        low = np.append(low, block.y.min())
        high = np.append(high, block.y.max())

        unit = s / weight  # weights first: x / weight may leave the range of doubles
        offset = np.append(block.t_dot(unit[:, None], reference[:-1])[:, 0], unit @ y)
        constant = low == high
        offset = np.where(constant, low - reference, offset)
        mean = reference + offset
        exponent = _exponent(np.maximum(high - mean, mean - low))
        exponent[constant] = NO_SPREAD
        scale = np.where(constant, 0.0, np.ldexp(1.0, -np.maximum(exponent, -1000)))
        exponent = np.where(constant, NO_SPREAD, np.maximum(exponent, -1000))

        scaled_y = (y - offset[-1]) * scale[-1]
        xy = block.t_dot((s * scaled_y)[:, None], mean[:-1])[:, 0] * scale[:-1]
        yy = float(s @ scaled_y**2)
        if self.gram:
            moments = np.empty((self.n + 1, self.n + 1))
            moments[:-1, :-1] = block.gram(s, mean[:-1], scale[:-1])
            moments[-1, :-1] = moments[:-1, -1] = xy
            moments[-1, -1] = yy
        else:
            moments = np.empty((2, self.n + 1))
            moments[0, :-1] = block.squares(s, mean[:-1], scale[:-1])
            moments[1, :-1] = xy
            moments[:, -1] = yy
        return Summary(
            census=block.census,
            rows=block.rows,
            weight=weight,
            weight_squares=float(s @ s),
            reference=reference,
            offset=offset,
            exponent=exponent,
            moments=moments,
            gram=self.gram,
            low=low,
            high=high,
        )

    def merge(self, left: Summary, right: Summary) -> Summary:
        census = left.census.merge(right.census)
        if left.rows == 0 or right.rows == 0:
            whole = left if right.rows == 0 else right
            whole.census = census
            return whole
        weight = left.weight + right.weight
        delta = (right.reference - left.reference) + (right.offset - left.offset)
        exponent = np.maximum(np.maximum(left.exponent, right.exponent), _exponent(delta))
        step = np.ldexp(delta, -exponent)
        cross = left.weight * (right.weight / weight)
        f, g = np.ldexp(1.0, left.exponent - exponent), np.ldexp(1.0, right.exponent - exponent)
        moments = left.moments * self._products(f) + right.moments * self._products(g)
        moments += cross * self._products(step)
        return Summary(
            census=census,
            rows=left.rows + right.rows,
            weight=weight,
            weight_squares=left.weight_squares + right.weight_squares,
            reference=left.reference,
            offset=left.offset + delta * (right.weight / weight),
            exponent=exponent,
            moments=moments,
            gram=self.gram,
            low=np.minimum(left.low, right.low),
            high=np.maximum(left.high, right.high),
        )

    def _products(self, v: Array) -> Array:
        """v_i v_j in the shape of the moments."""
        return np.multiply.outer(v, v) if self.gram else np.stack([v * v, v * v[-1]])


def _exponent(x: Array) -> NDArray[np.int64]:
    """The e of |x| = f 2^e with f in [0.5, 1); NO_SPREAD for 0."""
    exponent = np.frexp(x)[1].astype(np.int64)
    return np.where(x == 0.0, NO_SPREAD, exponent)
