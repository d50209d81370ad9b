"""The model of weights 0 for several classes."""

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summary
from w261reg.losses import Loss
from w261reg.null_model import NullModel
from w261reg.scaling import Coordinates

Array = NDArray[np.float64]


class NullClasses(NullModel):
    """Cross entropy of K classes at weights 0 and the best intercepts, the logarithms of shares.

    All rows have the same probabilities p there, so the gradient is E[(p_k - 1{y = k}) x], which
    sums over each class tell, and the Hessian is (diag(p) - p p') x E[x x'].

    Args:
        loss, summary, coordinates: see `NullModel`; the summary has sums of the classes.

    Attributes:
        shares: of the classes in the weight of all rows, (K,).
        p: probabilities of this model (K,).
    """

    def __init__(self, loss: Loss, summary: Summary, coordinates: Coordinates) -> None:
        assert summary.classes is not None
        self.sums = summary.classes
        self.shares = self.sums.weight / self.sums.weight.sum()
        k = len(self.shares)
        self.p = self.shares if coordinates.fit_intercept else np.full(k, 1.0 / k)
        super().__init__(loss, summary, coordinates)

    def _start(self) -> Array:
        theta = np.zeros(self.coordinates.p)
        if self.fit_intercept:
            b = np.log(self.p)
            theta[self.coordinates.slopes :] = b - b.mean()
        return theta

    @property
    def known(self) -> bool:
        return True

    @property
    def even(self) -> bool:
        return True

    def rms(self) -> float:
        """Root mean square of the derivatives in z, over rows and classes."""
        squares = self.shares * (1 - self.p) ** 2 + (1 - self.shares) * self.p**2
        return float(np.sqrt(squares.mean()))

    def value(self) -> float:
        return float(-(self.shares @ np.log(self.p)))

    def curvature(self) -> float:
        """The mean over classes of p (1 - p)."""
        return float(np.mean(self.p * (1 - self.p)))

    def slope(self) -> Array:
        return self.p - self.shares

    def gradient(self) -> Array:
        """Of the mean loss in raw weights at fixed centred intercepts, (n_active, K)."""
        to = self.coordinates
        return self.sums.about(to.centre).covariance(self.p)[to.active]

    def diagonal(self) -> Array:
        own = self.spread() / self.curvature()
        n = len(self.coordinates.active)
        curvature = self.p * (1 - self.p)
        at_intercept = curvature if self.fit_intercept else 0.0
        return self.coordinates.extended(np.outer(own[:n], curvature), at_intercept)

    def hessian(self, summary: Summary | None = None) -> Array:
        moments, edges = self.second_moments(summary), self.loss.edges
        # the weight of a pair of classes is the product of their probabilities
        weights = np.prod(np.where(edges != 0, self.p, 1.0), axis=1)
        return self.coordinates.spanned(edges, lambda e: weights[e] * moments)
