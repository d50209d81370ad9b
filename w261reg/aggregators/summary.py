"""Moments of the features and the label, or the whole Gram matrix, in one pass."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from w261reg.aggregators.base import Aggregator
from w261reg.aggregators.classes import ClassSums
from w261reg.blocks import Block, Census, symmetric
from w261reg.blocks.dense import origin_of

Array = NDArray[np.float64]
# the exponent of a column without spread: below every other, so that any other wins a merge
NO_SPREAD = -1100
# exponents are multiples of this, so that nearly every column has 0 and merging costs no rescaling
EXPONENT_STEP = 256
LEAST_EXPONENT = -3 * EXPONENT_STEP


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
        squares: 2^-2e_j sum s (x_j - mean_j)^2, (p,).
        subtracted: the same of what sums over the rows were centred by, so that squares are known
            to eps times this, too, (n,).
        products: the same of each feature with the label, (n,).
        moments: of each feature with each, (n, n), the upper triangle of a matrix in Fortran's
            order: the Gram matrix. None where it was not asked for.
        low, high: (p,) smallest and largest values.
        classes: sums of each class, for a loss of several.
    """

    census: Census = field(default_factory=Census)
    rows: int = 0
    weight: float = 0.0
    weight_squares: float = 0.0
    reference: Array = field(default_factory=lambda: np.zeros(0))
    offset: Array = field(default_factory=lambda: np.zeros(0))
    exponent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    squares: Array = field(default_factory=lambda: np.zeros(0))
    subtracted: Array = field(default_factory=lambda: np.zeros(0))
    products: Array = field(default_factory=lambda: np.zeros(0))
    moments: Array | None = None
    low: Array = field(default_factory=lambda: np.zeros(0))
    high: Array = field(default_factory=lambda: np.zeros(0))
    classes: ClassSums | None = None

    @property
    def gram(self) -> bool:
        """Whether the Gram matrix is there."""
        return self.moments is not None

    @property
    def mean(self) -> Array:
        """Weighted means of the features (n,)."""
        return (self.reference + self.offset)[:-1]

    @property
    def beside_mean(self) -> Array:
        """What the means of features and label (p,) are more than the numbers nearest to them."""
        nearest = self.reference + self.offset
        return np.asarray(self.offset - (nearest - self.reference))

    @property
    def y_mean(self) -> float:
        """Weighted mean of the label."""
        return float(self.reference[-1] + self.offset[-1])

    def repeated(self, times: float) -> "Summary":
        """That of as many copies of each row, without the Gram matrix."""
        return replace(
            self,
            rows=round(self.rows * times),
            weight=self.weight * times,
            weight_squares=self.weight_squares * times,
            squares=self.squares * times,
            subtracted=self.subtracted * times,
            products=self.products * times,
            moments=None,
        )

    def sd(self, divisor: float | None = None) -> Array:
        """sqrt(sum s (x - mean)^2 / divisor) of features and label (p,); divisor None is S."""
        divisor = self.weight if divisor is None else divisor
        if divisor <= 0:
            return np.zeros_like(self.squares)
        return np.ldexp(np.sqrt(self.squares / divisor), self.exponent)

    def rounded(self, scale_exponent: NDArray[np.int64]) -> Array:
        """What rounding of `second_moments` is a share of beside themselves: roots of it, (n,).

        (x - m)^2 = x^2 - 2 m x + m^2, whose sums come to four times m^2 where x is near m.
        """
        root = 2 * np.sqrt(self.subtracted / self.weight)
        return np.ldexp(root, (self.exponent - scale_exponent)[:-1])

    def second_moments(self, scale_exponent: NDArray[np.int64], centred: bool) -> Array:
        """(1/S) D X'SX D with D = diag(2^-scale_exponent), of features and label: (p, p).

        About the numbers nearest to the means if `centred`, else about 0. Needs the Gram matrix.
        """
        assert self.moments is not None
        p = len(self.squares)
        total = np.empty((p, p))
        total[:-1, :-1] = symmetric(self.moments)
        total[-1, :-1] = total[:-1, -1] = self.products
        total[-1, -1] = self.squares[-1]
        total /= self.weight
        shift = self.exponent - scale_exponent
        total = np.ldexp(total, np.add.outer(shift, shift))
        mean = self.beside_mean if centred else self.reference + self.offset
        mean = np.ldexp(mean, -scale_exponent)
        total += np.multiply.outer(mean, mean)
        return total

    def label_covariance(self, scale_exponent: NDArray[np.int64]) -> Array:
        """(1/S) sum s (x - mean)(y - mean) 2^-scale_exponent of the features: (n,)."""
        shift = self.exponent[:-1] + self.exponent[-1] - scale_exponent[:-1]
        return np.ldexp(self.products / self.weight, shift)


class Summarise(Aggregator[Summary]):
    """The first pass: census, means, variances and covariances with the label; or the Gram matrix.

    Each run of rows is centred on its own mean, and two runs merge by the pairwise formula of Chan,
    Golub and LeVeque (1983), *Algorithms for Computing the Sample Variance*, so that no digits go
    to large means.

    Args:
        n_features: n.
        gram: whether to compute the Gram matrix.
        outputs: of the loss: with several, labels are the codes of as many classes.
    """

    def __init__(self, n_features: int, gram: bool, outputs: int = 1) -> None:
        self.n, self.gram, self.outputs = n_features, gram, outputs
        self.name = "read, pack, Gram matrix" if gram else "read, pack, moments"

    def zero(self) -> Summary:
        return Summary()

    def add(self, state: Summary, block: Block) -> Summary:
        # what leaves the range of numbers is refused by name when all rows are known
        with np.errstate(over="ignore", invalid="ignore"):
            return self._merged(state, self._of(block))

    def nbytes(self) -> int:
        return 8 * self.n**2 * self.gram + 8 * (self.n + 1) * (10 + self.outputs) + 4096

    def _of(self, block: Block) -> Summary:
        if block.rows == 0 or block.census.defects:  # defects end the run: no need of moments
            return Summary(census=block.census)
        s = block.weight
        weight = float(s.sum())
        low, high = block.range()
        low = np.append(low, block.y.min())
        high = np.append(high, block.y.max())
        y_ref = origin_of(low[-1], high[-1])
        y = block.y - y_ref
        reference = np.append(block.reference(), y_ref)

        unit = s / weight  # weights first: x / weight may leave the range of doubles
        offset = np.append(block.t_dot(unit[:, None], reference[:-1])[:, 0], unit @ y)
        constant = low == high
        offset = np.where(constant, low - reference, offset)
        mean = reference + offset
        exponent = _exponent(np.maximum(high - mean, mean - low))
        scale = np.where(constant, 0.0, np.ldexp(1.0, -np.where(constant, 0, exponent)))
        exponent[constant] = NO_SPREAD

        scaled_y = (y - offset[-1]) * scale[-1]
        moments = None
        if self.gram:
            moments = np.zeros((self.n, self.n), order="F")
            block.add_gram(moments, s, mean[:-1], scale[:-1])
            # of sparse rows a difference, which rounding may take below 0
            squares = np.maximum(np.diagonal(moments), 0.0)
            np.fill_diagonal(moments, squares)
        else:
            squares = block.squares(s, mean[:-1], scale[:-1])
        # a mean of 1e12 is a number to 1e-4 only: the moments about it are larger than those about
        # reference + offset
        beside = ((offset - (mean - reference)) * scale)[:-1]
        squares = np.maximum(squares - weight * beside**2, 0.0)
        if moments is not None:
            blas.dsyr(-weight, beside, a=moments, overwrite_a=1)
        return Summary(
            census=block.census,
            rows=block.rows,
            weight=weight,
            weight_squares=float(s @ s),
            reference=reference,
            offset=offset,
            exponent=exponent,
            squares=np.append(squares, s @ scaled_y**2),
            subtracted=weight * (block.subtracted(mean[:-1]) * scale[:-1]) ** 2,
            products=block.t_dot((s * scaled_y)[:, None], mean[:-1])[:, 0] * scale[:-1],
            moments=moments,
            low=low,
            high=high,
            classes=ClassSums.of(block, self.outputs) if self.outputs > 1 else None,
        )

    def merge(self, left: Summary, right: Summary) -> Summary:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._merged(left, right)

    @staticmethod
    def _merged(left: Summary, right: Summary) -> Summary:
        census = left.census.merge(right.census)
        if left.rows == 0 or right.rows == 0:
            whole = left if right.rows == 0 else right
            whole.census = census
            return whole
        classes = left.classes
        if classes is not None and right.classes is not None:
            classes = classes.merge(right.classes)
        weight = left.weight + right.weight
        delta = (right.reference - left.reference) + (right.offset - left.offset)
        exponent = np.maximum(np.maximum(left.exponent, right.exponent), _exponent(delta))
        step = np.ldexp(delta, -exponent)
        cross = left.weight * (right.weight / weight)
        f, g = _factor(left.exponent, exponent), _factor(right.exponent, exponent)
        moments = left.moments
        if moments is not None and right.moments is not None:
            if (f != 1).any():
                moments *= np.multiply.outer(f[:-1], f[:-1])
            own = right.moments
            moments += own if (g == 1).all() else own * np.multiply.outer(g[:-1], g[:-1])
            blas.dsyr(cross, step[:-1], a=moments, overwrite_a=1)
        return Summary(
            census=census,
            rows=left.rows + right.rows,
            weight=weight,
            weight_squares=left.weight_squares + right.weight_squares,
            reference=left.reference,
            offset=left.offset + delta * (right.weight / weight),
            exponent=exponent,
            squares=left.squares * f**2 + right.squares * g**2 + cross * step**2,
            subtracted=left.subtracted * f[:-1] ** 2 + right.subtracted * g[:-1] ** 2,
            products=left.products * f[:-1] * f[-1]
            + right.products * g[:-1] * g[-1]
            + cross * step[:-1] * step[-1],
            moments=moments,
            low=np.minimum(left.low, right.low),
            high=np.maximum(left.high, right.high),
            classes=classes,
        )


def _exponent(x: Array) -> NDArray[np.int64]:
    """An e near that of |x| = f 2^e; NO_SPREAD for 0."""
    exponent = EXPONENT_STEP * np.rint(np.frexp(x)[1] / EXPONENT_STEP).astype(np.int64)
    return np.where(x == 0.0, NO_SPREAD, np.maximum(exponent, LEAST_EXPONENT))


def _factor(own: NDArray[np.int64], common: NDArray[np.int64]) -> Array:
    """What brings moments from one exponent to another; those without spread are 0 anyway."""
    return np.where(own == NO_SPREAD, 1.0, np.ldexp(1.0, own - common))
