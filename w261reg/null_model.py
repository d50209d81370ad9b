"""What the moments of the first pass tell: second moments, and the model of weights 0."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summary
from w261reg.losses import Loss
from w261reg.scaling import Coordinates

Array = NDArray[np.float64]
# of the label 0 in the weight of all rows: at this share its covariances are known to 1e-8
LEAST_SHARE = 1e-8


class NullModel:
    """The mean loss at weights 0 and the best intercept, without a pass over the data.

    A canonical loss has l' = mu - y, so that its gradient there is E[(mu - y) x], and its Hessian
    l'' times the second moments of x. For labels of 0 and 1 the same holds of any loss, as
    everything there is linear in y: l' = a + c y.

    Args:
        loss: pointwise loss.
        summary: what the first pass found.
        coordinates: of theta (p,).

    Attributes:
        theta: the null model (p,).
    """

    def __init__(self, loss: Loss, summary: Summary, coordinates: Coordinates) -> None:
        self.loss, self.summary, self.coordinates = loss, summary, coordinates
        self.fit_intercept = coordinates.fit_intercept
        self.theta = self._start()

    def _start(self) -> Array:
        theta = np.zeros(self.coordinates.p)
        if self.fit_intercept and self._by_class:
            theta[-1] = self.loss.null_of_classes(*self._shares.tolist())
        elif self.fit_intercept:
            theta[-1] = self.loss.null_predictor(self.summary.y_mean)
        return theta

    @property
    def _z(self) -> float:
        return float(self.theta[-1]) if self.fit_intercept else 0.0

    @property
    def _by_class(self) -> bool:
        return self.loss.classification

    @property
    def known(self) -> bool:
        """Whether moments give value and gradient.

        Where nearly all weight is on the label 1, its mean rounds the other's share, and so do the
        covariances with the label.
        """
        if self._by_class:
            return bool(self._shares[0] > LEAST_SHARE)
        return self.loss.canonical

    @property
    def even(self) -> bool:
        """Whether moments give the Hessian, too: l'' is one number for all rows."""
        if self.loss.canonical:
            return True
        return self.loss.classification and len(set(self._of_classes()[2].tolist())) == 1

    def _of_classes(self) -> tuple[Array, Array, Array]:
        """l, l' and l'' for the labels 0 and 1, (2,) each."""
        z = np.full((2, 1), self._z)
        value, derivative, curvature = self.loss.all(np.array([0.0, 1.0]), z)
        return value[:, 0], derivative[:, 0], curvature[:, 0]

    @property
    def _shares(self) -> Array:
        """Of the labels 0 and 1, each to its own digits, which 1 - mean loses for a mean near 1."""
        mean, variance = self.summary.y_mean, float(self.summary.sd()[-1]) ** 2
        below = variance / mean if mean > 0.5 else 1.0 - mean
        return np.array([below, mean])

    def mean(self) -> float:
        """mu: the prediction for every row."""
        return float(self.loss.mean(np.array([self._z]))[0])

    def rms(self) -> float:
        """Root mean square of l', from moments."""
        if self._by_class:
            return float(np.sqrt(self._shares @ self._of_classes()[1] ** 2))
        if not self.loss.canonical:
            return self._other_rms()
        sd = float(self.summary.sd()[-1])
        rms = float(np.hypot(sd, self.mean() - self.summary.y_mean))
        if rms > 0:
            return rms
        return max(abs(self.summary.y_mean), 1.0)  # a constant label is fitted exactly: any unit

    def _other_rms(self) -> float:
        """That of two labels with the data's mean and deviation."""
        mean, sd = self.summary.y_mean, float(self.summary.sd()[-1])
        if sd == 0 and self.fit_intercept:
            return 1.0  # a constant label is fitted exactly: any unit
        y, share = np.array([mean - sd, mean + sd]), np.full(2, 0.5)
        with np.errstate(all="ignore"):
            slope = self.loss.derivative(y, np.full((2, 1), self._z))[:, 0]
            rms = float(np.sqrt(share @ slope**2))
        return rms if 0 < rms < np.inf else 1.0

    def value(self) -> float:
        """Mean loss; a canonical l is -y z + a function of z or y."""
        if self._by_class:
            return float(self._shares @ self._of_classes()[0])
        y, z = np.array([self.summary.y_mean]), np.array([[self._z]])
        value = float(self.loss.value(y, z)[0, 0])
        if self.loss.quadratic:  # E[(z - y)^2]/2 = (z - E y)^2/2 + var(y)/2
            value += float(self.summary.sd()[-1]) ** 2 / 2
        return value

    def curvature(self) -> float:
        """l'', or its mean."""
        if self._by_class:
            return float(self._shares @ self._of_classes()[2])
        y, z = np.array([self.summary.y_mean]), np.array([[self._z]])
        return float(self.loss.curvature(y, z)[0, 0])

    def slope(self) -> float | Array:
        """Derivative of the mean loss in the intercept; 0 at the best one, but for a kink."""
        if self._by_class:
            return float(self._shares @ self._of_classes()[1])
        return 0.0 if self.fit_intercept else self.mean() - self.summary.y_mean

    def gradient(self) -> Array:
        """Gradient of the mean loss in raw w at a fixed centred intercept, active features only."""
        active = self.coordinates.active
        zero = np.zeros(self.coordinates.n_features + 1, dtype=np.int64)
        covariance = self.summary.label_covariance(zero)[active]
        if self._by_class:
            # E[(a + c y) x]; with an intercept x is centred, which leaves the covariance
            _, (below, above), _ = self._of_classes()
            shift = 0.0 if self.fit_intercept else self.slope()
            covariance = (below - above) * covariance
        else:
            shift = self.mean() - self.summary.y_mean
        return np.asarray(shift * self.summary.mean[active] - covariance)

    def diagonal(self) -> Array:
        """The diagonal of the mean loss's Hessian (p,)."""
        return self.spread()

    def spread(self) -> Array:
        """That of one output (p / K,): the mean l'' times the second moments of (x, 1)."""
        active = self.coordinates.active
        mean = (self.summary.mean - self.coordinates.centre)[active]
        spread = np.hypot(self.summary.sd()[active], mean) * self.coordinates.unit
        return self.curvature() * self.coordinates.single.extended(spread**2, 1.0)

    def hessian(self, summary: Summary | None = None) -> Array:
        """The mean loss's Hessian (p, p), where l'' is even; see `second_moments`."""
        return self.curvature() * self.second_moments(summary)

    def second_moments(self, summary: Summary | None = None) -> Array:
        """E[x x'] of the rows (x, 1) in one output's theta, (p / K, p / K).

        Args:
            summary: of other rows, a sample; needs the Gram matrix.
        """
        return self.with_intercept(self.scaled_moments(summary)[0])

    def with_intercept(self, moments: Array) -> Array:
        """`scaled_moments` of the features (n, n) with the constant feature 1, (p / K, p / K)."""
        to = self.coordinates
        n, p = len(moments), to.single.p
        total = np.zeros((p, p))
        total[:n, :n] = moments
        if self.fit_intercept:
            # moments are about the means, and the centre may be elsewhere
            away = self.beside()
            total[:n, :n] += np.multiply.outer(away, away)
            total[n, :n] = total[:n, n] = away
            total[n, n] = 1.0
        return total

    def beside(self) -> Array:
        """The mean of x - centre of the active features in theta's units: 0 but for the last digits
        of the centre, unless that was moved."""
        to = self.coordinates
        away = (self.summary.mean - to.centre) + self.summary.beside_mean[:-1]
        return np.asarray(away[to.active] * to.unit)

    def scaled_moments(self, summary: Summary | None = None) -> tuple[Array, Array]:
        """(1/S) X'SX and (1/S) X'Sy of the active features in theta's units, centred with an
        intercept: (n_active, n_active) and (n_active,). Needs the Gram matrix."""
        if summary is None:
            return self._own_moments
        return self._scaled_moments(summary)

    @cached_property
    def _own_moments(self) -> tuple[Array, Array]:
        return self._scaled_moments(self.summary)

    def _scaled_moments(self, summary: Summary) -> tuple[Array, Array]:
        active = self.coordinates.active
        exponent = np.zeros(self.coordinates.n_features + 1, dtype=np.int64)
        exponent[active] = self.coordinates.exponent
        both = summary.second_moments(exponent, centred=self.fit_intercept)
        return both[np.ix_(active, active)], both[active, -1]

    def rounded_moments(self) -> Array:
        """Roots of what rounding of `scaled_moments` is a share of, too: (n_active,)."""
        exponent = np.zeros(self.coordinates.n_features + 1, dtype=np.int64)
        exponent[self.coordinates.active] = self.coordinates.exponent
        return self.summary.rounded(exponent)[self.coordinates.active]

    def y_square(self) -> float:
        """The label's second moment: its variance with an intercept, else E[y^2]."""
        mean = 0.0 if self.fit_intercept else self.summary.y_mean
        return float(np.hypot(self.summary.sd()[-1], mean)) ** 2
