"""What a loss is: a pointwise function of the label and the linear predictor."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Loss(ABC):
    """l(y, z) and its derivatives in z, for labels y (b,) and linear predictors z (b, k).

    The k columns are independent models of the same rows; every method works column by column and
    knows nothing of features. A loss is one file in this folder: a concrete subclass with a `name`
    is found by itself, in the command line and in the tests.

    Class attributes:
        name: as on the command line.
        title: as in a report.
        metric: the mean loss's name among the metrics of a classifier.
        classification: labels are 0 and 1, and `mean` is the probability of 1.
        probabilistic: of a classification: without, `mean` is the class itself.
        quadratic: l'' is 1 everywhere, so that one pass (the Gram matrix) holds the whole problem.
        canonical: l' = mean(z) - y, so that moments of the data give the null model's derivatives.
        may_separate: without a penalty the infimum may lie at infinity; `margin` says when.
        kinked: l has kinks and no curvature beside them, so only subgradients tell anything.
        steepest, most_curved: bounds of |l'| and of l''.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metric: ClassVar[str] = "log_loss"
    classification: ClassVar[bool] = False
    probabilistic: ClassVar[bool] = True
    quadratic: ClassVar[bool] = False
    canonical: ClassVar[bool] = False
    may_separate: ClassVar[bool] = False
    kinked: ClassVar[bool] = False
    steepest: ClassVar[float] = math.inf
    most_curved: ClassVar[float] = math.inf

    @abstractmethod
    def value(self, y: Array, z: Array) -> Array:
        """l(y, z), shape (b, k)."""

    @abstractmethod
    def derivative(self, y: Array, z: Array) -> Array:
        """dl/dz, shape (b, k); a subderivative where l has a kink."""

    @abstractmethod
    def curvature(self, y: Array, z: Array) -> Array:
        """d2l/dz2 >= 0, shape (b, k)."""

    @abstractmethod
    def mean(self, z: Array) -> Array:
        """The prediction that z stands for: E[y] under the model, same shape as z."""

    @abstractmethod
    def null_predictor(self, y_mean: float) -> float:
        """The constant z that minimises the mean loss of labels with this mean."""

    def first(self, y: Array, z: Array) -> tuple[Array, Array]:
        """(value, derivative); a loss overrides it where they share work."""
        return self.value(y, z), self.derivative(y, z)

    def all(self, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """(value, derivative, curvature); a loss overrides it where they share work."""
        return self.value(y, z), self.derivative(y, z), self.curvature(y, z)

    def margin(self, y: Array, z: Array) -> Array:
        """How far z is on the right side, shape (b, k): all > 0 proves that the data separates."""
        raise TypeError(f"the loss {self.name} has no margin")
