"""The likelihood of rows whose noise has one unknown variance a group, and its steps.

y = x'w + b + e with independent e ~ N(0, sigma_g^2) in group g. The joint maximum of the likelihood
of (w, b, sigma_1, ..., sigma_G), or with a penalty R, is the minimum of

    J = sum_g (N_g/S) [ log sigma_g + log(2 pi)/2 + RSS_g(w, b)/(2 N_g sigma_g^2) ] + R(w),

the mean negative log likelihood and the penalty; N_g and S are sums of weights. At sigma_g^2 =
RSS_g/N_g, its best value for given (w, b), this is a function of (w, b) alone, the profile.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w261reg.evaluation import rounding_of
from w261reg.likelihood import Moments
from w261reg.solvers.linear import Solution, solve

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Point:
    """J at one theta, with the best sigmas there.

    Attributes:
        theta: (p,).
        rss, variance: of each group (G,).
        slope: sum s r (x, 1) of each group (G, p).
        objective, gradient: of the profile, (p,).
        residual: that gradient, scale-free.
        lost: the largest relative error of an rss, by rounding.
        blurred: the error of `residual` by rounding.
    """

    theta: Array
    rss: Array
    variance: Array
    slope: Array
    objective: float
    gradient: Array
    residual: float
    lost: float
    blurred: float


@dataclass(frozen=True)
class Joint:
    """The joint problem in theta: a parabola RSS_g a group, written about `base`.

    RSS_g = square_g - 2 slope_g'd + d'bend_g d with d = theta - base.

    Attributes:
        weight: N_g (G,).
        base: (p,).
        square, slope, bend: (G,), (G, p) and (G, p, p).
        penalty: R's Hessian (p, p).
        size: of each coordinate, in which gradients are compared (p,).
        y_mean, y_variance: of the label in each group (G,).
        fit_intercept: whether there is one.
    """

    weight: Array
    base: Array
    square: Array
    slope: Array
    bend: Array
    penalty: Array
    size: Array
    y_mean: Array
    y_variance: Array
    fit_intercept: bool

    def at(self, theta: Array) -> Point:
        d, total = theta - self.base, float(self.weight.sum())
        along = self.bend @ d
        rss = self.square + (along - 2 * self.slope) @ d
        with np.errstate(all="ignore"):
            variance = rss / self.weight
            log_density = np.log(2 * np.pi * variance) + 1
            value = 0.5 * float(self.weight @ log_density) / total
            slope = self.slope - along
            gradient = self.penalty @ theta - slope.T @ (1 / variance) / total
            # in the units of the ordinary problem with row weights s/sigma^2
            to_f = total / float((self.weight / variance).sum())
            scale = to_f / (self.size * self.rho(variance))
            size = np.abs(d)
            wide = np.abs(self.bend) @ size
            lost = EPS * (self.square + (wide + 2 * np.abs(self.slope)) @ size) / rss
            blurred = EPS * ((np.abs(self.slope) + wide).T @ (1 / variance)) / total * scale
        return Point(
            theta=theta,
            rss=rss,
            variance=variance,
            slope=slope,
            objective=value + 0.5 * float(theta @ (self.penalty @ theta)),
            gradient=gradient,
            residual=float(np.max(np.abs(gradient) * scale, initial=0.0)),
            lost=float(lost.max()) if (rss > 0).all() else np.inf,
            blurred=float(np.max(blurred, initial=0.0)),
        )

    def rho(self, variance: Array) -> float:
        """Root mean square of l' at the null model, by weights s/sigma^2."""
        moments = self.moments(variance)
        square = 0.0 if self.fit_intercept else moments.y_mean**2
        rms = float(np.sqrt(moments.y_variance + square))
        return rms if rms > 0 else 1.0

    def moments(self, variance: Array, rss: Array | None = None) -> Moments:
        """Of all rows by weights s/sigma^2; without a model's mean loss where there is no rss."""
        weight = self.weight / variance
        total = float(weight.sum())
        mean = float(weight @ self.y_mean) / total
        spread = float(weight @ (self.y_variance + (self.y_mean - mean) ** 2)) / total
        loss = 0.0 if rss is None else float((rss / variance).sum()) / (2 * total)
        return Moments(total, loss, mean, spread)

    def information(self, variance: Array) -> Array:
        """sum s/sigma^2 (x, 1)(x, 1)' in theta (p, p)."""
        return np.asarray(np.tensordot(1 / variance, self.bend, axes=1))

    def steps(self, now: Point) -> tuple[Solution, Solution]:
        """Weighted least squares at these sigmas, which always descends, and Newton's on the
        profile, whose Hessian has - 2 slope slope'/(N sigma^4) beside it; as steps from theta."""
        total = float(self.weight.sum())
        plain = self.information(now.variance) / total + self.penalty
        turned = now.slope / np.sqrt(self.weight)[:, None] / now.variance[:, None]
        return (
            solve(plain, -now.gradient),
            solve(plain - (2 / total) * (turned.T @ turned), -now.gradient),
        )

    def rebased(self, theta: Array, sums: Array) -> "Joint":
        """The same about theta, with (RSS_g, sum s r (x, 1)) found there: (G, 1 + p)."""
        return replace(self, base=theta, square=sums[:, 0], slope=sums[:, 1:])


def descend(
    joint: Joint, now: Point, aim: float, most: int, record: Callable[[Point], None]
) -> tuple[str, Point, Solution | None]:
    """Steps to the minimum, each the better of `Joint.steps`, so that J never rises.

    Args:
        joint: the problem.
        now: where to begin.
        aim: the residual at which to stop.
        most: steps.
        record: called at each new point.

    Returns:
        Why the steps ended ("" where the residual is within `aim`), where, and the last system.
    """
    last = None
    for _ in range(most):
        if now.residual <= aim:
            break
        plain, newton = joint.steps(now)
        last = plain
        after = joint.at(now.theta + plain.x)
        faster = joint.at(now.theta + newton.x)
        blur = rounding_of(now.objective)
        if faster.objective <= after.objective + blur:
            after = faster
        same = abs(after.objective - now.objective) <= blur
        if not after.objective <= now.objective + blur or (
            same and not after.residual < 0.5 * now.residual
        ):
            return "rounding allows no more digits", now, last
        now = after
        record(now)
    return ("" if now.residual <= aim else "stopped by max_iter"), now, last
