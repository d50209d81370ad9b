"""What a loss is: a pointwise function of the label and the linear predictor."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# of differences in z: they balance what rounding and the next term of the series cost
FIRST_STEP, SECOND_STEP = EPS ** (1 / 3), EPS ** (1 / 4)


class Loss(ABC):
    """l(y, z) and its derivatives in z, for labels y (b,) and linear predictors z (b, k).

    The k columns are independent models of the same rows; every method works column by column and
    knows nothing of features. A loss is one file in this folder: a concrete subclass with a `name`
    is found by itself, in the command line and in the tests.

    A loss of K classes has K `outputs` a model: z is (b, k K), those of a model side by side, its
    value (b, k), its derivative (b, k K), and its curvature (b, k P) the weights h_e >= 0 of P
    directions a_e, the rows of `edges`: the second derivative in z is sum_e h_e a_e a_e'.

    Only `value` must be there. Derivatives that are not given are differences of the value in z,
    pointwise, so that they cost no pass: l' is right to about 1e-10 and l'' to about 1e-7 of l,
    where l varies on the scale max(1, |z|).

    Class attributes:
        name: as on the command line.
        title: as in a report.
        metric: the mean loss's name among the metrics of a classifier.
        classification: labels are 0 and 1, and `mean` is the probability of 1.
        multiclass: of a classification: labels are 0 to K - 1, and `mean` the probability of each.
        counted: fitted by counting, in closed form, so that no solver and no penalty take part.
        probabilistic: of a classification: without, `mean` is the class itself.
        quadratic: l'' is 1 everywhere, so that one pass (the Gram matrix) holds the whole problem.
        canonical: l' = mean(z) - y, so that moments of the data give the null model's derivatives.
        family: whose negative log likelihood l is, but for constants: bernoulli or gaussian; None
            where it is none.
        most_curved: an upper bound of l'', or its eigenvalues; infinite where there is none.
        may_separate: without a penalty the infimum may lie at infinity; `margin` says when.
        self_concordant: |l'''| <= l'' and |l'| <= 1, as for logistic loss; of several
            outputs |l'''| <= (max_e |a_e'v|) l'' along v in z. Proofs need it.
        label_range: the smallest and the largest label that the loss is for.
        kinked: l has kinks and no curvature beside them, so only subgradients tell anything.
        lowest: a lower bound of l; -infinite where none is known.
        steepest: an upper bound of |l'|, of several outputs of its length; infinite where there
            is none.

    Attributes:
        outputs: K, 1 but for a loss of classes.
    """

    outputs: int = 1

    name: ClassVar[str]
    title: ClassVar[str]
    metric: ClassVar[str] = "log_loss"
    classification: ClassVar[bool] = False
    multiclass: ClassVar[bool] = False
    counted: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = True
    quadratic: ClassVar[bool] = False
    canonical: ClassVar[bool] = False
    family: ClassVar[str | None] = None
    may_separate: ClassVar[bool] = False
    self_concordant: ClassVar[bool] = False
    label_range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    kinked: ClassVar[bool] = False
    lowest: ClassVar[float] = -math.inf
    steepest: ClassVar[float] = math.inf
    most_curved: ClassVar[float] = math.inf

    def of_classes(self, count: int) -> "Loss":
        """The loss for so many classes; itself where it is not `multiclass`."""
        return self

    @property
    def edges(self) -> Array:
        """The directions a_e in z that the curvature weighs, (P, K)."""
        return np.ones((1, 1))

    def diagonal(self, y: Array, z: Array) -> Array:
        """The second derivative in each output alone, sum_e h_e a_ek^2: as z, of one model."""
        return self.curvature(y, z) @ self.edges**2

    @property
    def numerical(self) -> bool:
        """Whether the derivative is a difference of values."""
        return type(self).derivative is Loss.derivative

    @abstractmethod
    def value(self, y: Array, z: Array) -> Array:
        """l(y, z), shape (b, k)."""

    def derivative(self, y: Array, z: Array) -> Array:
        """dl/dz, shape (b, k); a subderivative where l has a kink."""
        return self._slope(self.value, y, z)

    def curvature(self, y: Array, z: Array) -> Array:
        """d2l/dz2 >= 0, shape (b, k)."""
        if not self.numerical:
            return np.maximum(self._slope(self.derivative, y, z), 0.0)
        h = SECOND_STEP * np.maximum(1.0, np.abs(z))
        high, low = z + h, z - h
        bend = (self.value(y, high) - self.value(y, z)) / (high - z)
        bend -= (self.value(y, z) - self.value(y, low)) / (z - low)
        return np.maximum(bend / (0.5 * (high - low)), 0.0)

    @staticmethod
    def _slope(function: Callable[[Array, Array], Array], y: Array, z: Array) -> Array:
        """The central difference of a function (y, z) -> (b, k) in z."""
        h = FIRST_STEP * np.maximum(1.0, np.abs(z))
        high, low = z + h, z - h
        slope: Array = (function(y, high) - function(y, low)) / (high - low)
        return slope

    def mean(self, z: Array) -> Array:
        """The prediction that z stands for: E[y] under the model, same shape as z.

        Unless given, z itself for a response. For classes the probability for which z is optimal,
        p l'(1, z) + (1 - p) l'(0, z) = 0 (Buja, Stuetzle and Shen 2005, *Loss Functions for Binary
        Class Probability Estimation and Classification*).
        """
        if not self.classification:
            return z
        column = z.reshape(-1, 1)
        zero = self.derivative(np.zeros(len(column)), column)
        one = self.derivative(np.ones(len(column)), column)
        jump = zero - one
        share = np.divide(zero, jump, out=np.full_like(column, 0.5), where=jump > 0)
        return np.clip(share, 0.0, 1.0).reshape(z.shape)

    def null_predictor(self, y_mean: float) -> float:
        """The constant z that minimises the mean loss of labels with this mean.

        Unless given, it is found along z. The mean tells all about classes, and where l is affine
        in y; else this is the best z for a label at the mean, from which a fit may well start.
        """
        y, share = np.array([y_mean]), np.ones(1)
        if self.classification:
            y, share = np.array([0.0, 1.0]), np.array([1 - y_mean, y_mean])

        def slope(z: float) -> float:
            # what is too far out for numbers rises outwards
            with np.errstate(all="ignore"):
                found = float(share @ self.derivative(y, np.full((len(y), 1), z))[:, 0])
            return found if not np.isnan(found) else z

        low, high = -1.0, 1.0
        while slope(low) > 0 and low > -1e18:
            low *= 2
        while slope(high) < 0 and high < 1e18:
            high *= 2
        if slope(low) > 0 or slope(high) < 0:
            return 0.0  # no such z
        while low < (middle := low + (high - low) / 2) < high:
            at = slope(middle)
            if at == 0:
                return middle
            low, high = (low, middle) if at > 0 else (middle, high)
        return middle

    def null_of_classes(self, negative: float, positive: float) -> float:
        """The same of two classes with these shares of the weight, each known to its own digits."""
        return self.null_predictor(positive)

    def first(self, y: Array, z: Array) -> tuple[Array, Array]:
        """(value, derivative); a loss overrides it where they share work."""
        return self.value(y, z), self.derivative(y, z)

    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """(value, derivative, curvature); a loss overrides it where they share work."""
        return self.value(y, z), self.derivative(y, z), self.curvature(y, z)

    def margin(self, y: Array, z: Array) -> Array:
        """How far z is on the right side, shape (b, k): all > 0 proves that the data separates."""
        if self.classification:
            return (2.0 * y[:, None] - 1.0) * z
        raise TypeError(f"the loss {self.name} has no margin")
