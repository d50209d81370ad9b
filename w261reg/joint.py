"""The likelihood of rows whose noise has one unknown variance a group, and its steps.

y = x'w + b + e with independent e ~ N(0, sigma_g^2) in group g. The joint maximum of the likelihood
of (w, b, sigma_1, ..., sigma_G), or with a penalty R, is the minimum of

    J = sum_g (N_g/S) [ log sigma_g + log(2 pi)/2 + RSS_g(w, b)/(2 N_g sigma_g^2) ] + R(w),

the mean negative log likelihood and the penalty; N_g and S are sums of weights. At sigma_g^2 =
RSS_g/N_g, its best value for given (w, b), this is a function of (w, b) alone, the profile.

What rounding leaves of each quantity is carried along: where J and its gradient are known to fewer
digits than a step changes them, it is this that ends the steps, and not the last bits of a sum.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from w261reg.likelihood import Moments
from w261reg.solvers.linear import Solution, solve

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# a sum of squares that rounding leaves nothing of
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Basis:
    """Coordinates d (r,) about a point: theta = base + span diag(1/size) R^-1 d.

    Attributes:
        span: (p, r) of orthonormal columns, the directions that data and penalty see; None is all.
        size: (r,) of the columns of the rows in these directions.
        factor: R, upper triangular (r, r).
    """

    span: Array | None
    size: Array
    factor: Array

    def theta(self, d: Array) -> Array:
        """The move in theta (p,)."""
        found = linalg.solve_triangular(self.factor, d) / self.size
        return found if self.span is None else self.span @ found

    def of_theta(self, rows: Array) -> Array:
        """Linear functions of theta, (k, p), as those of d: (k, r)."""
        rows = rows if self.span is None else rows @ self.span
        return np.asarray(linalg.solve_triangular(self.factor, (rows / self.size).T, trans="T").T)

    def gradient(self) -> Array:
        """The matrix (p, r) that makes a gradient in theta of one in d."""
        found = self.size[:, None] * self.factor.T
        return found if self.span is None else self.span @ found


@dataclass(frozen=True)
class Point:
    """J at one move d from the base, with the best sigmas there.

    Attributes:
        d: (r,).
        rss, variance: of each group (G,).
        slope: sum s r (x, 1) of each group (G, r).
        loose: the relative error of each rss by rounding (G,); infinite where it is all error.
        rough: the error of `slope` by rounding at this d (G, r).
        pull: the penalty's gradient (r,).
        objective, gradient: of the profile, (r,).
        residual: that gradient, scale-free.
        rounding, blurred: the errors of `objective` and of `residual` by rounding.
    """

    d: Array
    rss: Array
    variance: Array
    slope: Array
    loose: Array
    rough: Array
    pull: Array
    objective: float
    gradient: Array
    residual: float
    rounding: float
    blurred: float

    @property
    def lost(self) -> float:
        """The largest relative error of an rss, by rounding."""
        return float(self.loose.max())


@dataclass(frozen=True)
class Joint:
    """The joint problem in moves d from a base: a parabola a group, and one for the penalty.

    RSS_g = square_g - 2 slope_g'd + d'bend_g d,    R = height + drag'd + d'penalty d / 2

    Attributes:
        weight: N_g (G,).
        square, slope, bend: (G,), (G, r) and (G, r, r).
        square_error, slope_error: what rounding may have added to the first two.
        height, drag, penalty: R at the base, its gradient (r,) and Hessian (r, r).
        size: of the rows that gradients are compared in (k,).
        compared: the matrix (k, r) that makes these of a gradient in d; None where they are the
            same.
        y_mean, y_variance: of the label in each group (G,).
        fit_intercept: whether there is one.
    """

    weight: Array
    square: Array
    slope: Array
    bend: Array
    square_error: Array
    slope_error: Array
    height: float
    drag: Array
    penalty: Array
    size: Array
    compared: Array | None
    y_mean: Array
    y_variance: Array
    fit_intercept: bool

    def at(self, d: Array) -> Point:
        total, size = float(self.weight.sum()), np.abs(d)
        along, wide = self.bend @ d, np.abs(self.bend) @ size
        slope = self.slope - along
        rough = EPS * (np.abs(self.slope) + wide)
        with np.errstate(all="ignore"):
            rss = self.square + (along - 2 * self.slope) @ d
            error = self.square_error + 2 * self.slope_error @ size
            error += EPS * (self.square + (wide + 2 * np.abs(self.slope)) @ size)
            loose = np.where(rss > error, error / rss, np.inf)
            # where rounding has eaten it, the size of what it may be
            rss = np.maximum(np.maximum(rss, error), TINY)
            variance = rss / self.weight
            share, log_density = self.weight / total, np.log(2 * np.pi * variance) + 1
            pull, bent = self.drag + self.penalty @ d, self.height + d @ (0.5 * self.penalty @ d)
            objective = 0.5 * float(share @ log_density) + float(d @ self.drag + bent)
            rounding = 0.5 * float(share @ (np.minimum(loose, 1) + EPS * np.abs(log_density)))
            rounding += EPS * float(size @ np.abs(self.drag) + bent)
            gradient = pull - slope.T @ (1 / variance) / total
            # in the units of the ordinary problem with row weights s/sigma^2
            to_f = total / float((self.weight / variance).sum())
            scale = to_f / (self.size * self.rho(variance))
            unsure = rough + self.slope_error + np.abs(slope) * np.minimum(loose, 1)[:, None]
            blurred = unsure.T @ (1 / variance) / total
            blurred += EPS * (np.abs(self.penalty) @ size)
            whole = gradient
            if self.compared is not None:
                whole, blurred = self.compared @ gradient, np.abs(self.compared) @ blurred
        return Point(
            d=d,
            rss=rss,
            variance=variance,
            slope=slope,
            loose=loose,
            rough=rough,
            pull=pull,
            objective=objective,
            gradient=gradient,
            residual=float(np.max(np.abs(whole) * scale, initial=0.0)),
            rounding=rounding,
            blurred=float(np.max(blurred * scale, initial=0.0)),
        )

    def rise(self, now: Point, after: Point) -> tuple[float, float]:
        """J at `after` less J at `now`, and the error of that by rounding.

        Out of the step between them: the difference of two values of J would be known no better
        than J, of which a step near the end changes less.
        """
        step, share = after.d - now.d, self.weight / self.weight.sum()
        along = self.bend @ step
        change = (along - 2 * now.slope) @ step
        size = np.abs(step)
        error = (2 * now.rough + EPS * (np.abs(along) + 2 * np.abs(now.slope))) @ size
        with np.errstate(all="ignore"):
            ratio = change / now.rss
            error = error + np.abs(change) * np.minimum(now.loose, 1)
            near = np.abs(ratio) < 0.5
            logs = np.where(near, np.log1p(np.where(near, ratio, 0.0)), np.log(after.rss / now.rss))
            apart = np.minimum(now.loose, 1) + np.minimum(after.loose, 1)
            unsure = np.where(near, error / now.rss, apart)
            pulled = float(step @ (now.pull + 0.5 * (self.penalty @ step)))
            rise = 0.5 * float(share @ logs) + pulled
            blur = 0.5 * float(share @ (unsure + EPS * np.abs(logs)))
            blur += EPS * float(size @ (np.abs(now.pull) + np.abs(self.penalty) @ size))
        return rise, blur

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
        """sum s/sigma^2 (x, 1)(x, 1)' in d (r, r)."""
        return np.asarray(np.tensordot(1 / variance, self.bend, axes=1))

    def steps(self, now: Point) -> tuple[Solution, Solution]:
        """Weighted least squares at these sigmas, which always descends, and Newton's on the
        profile, whose Hessian has - 2 slope slope'/(N sigma^4) beside it; as steps from d."""
        total = float(self.weight.sum())
        plain = self.information(now.variance) / total + self.penalty
        turned = now.slope / np.sqrt(self.weight)[:, None] / now.variance[:, None]
        return (
            solve(plain, -now.gradient),
            solve(plain - (2 / total) * (turned.T @ turned), -now.gradient),
        )


def descend(
    joint: Joint,
    now: Point,
    aim: float,
    most: int,
    drifted: Callable[[Point], bool],
    record: Callable[[Point], None],
) -> tuple[str, Point, Solution | None]:
    """Steps to the minimum, each the better of `Joint.steps`.

    A step is taken where J falls by more than its rounding, or where within rounding it does not
    rise and the residual halves.

    Args:
        joint: the problem.
        now: where to begin.
        aim: the residual at which to stop.
        most: steps.
        drifted: whether a point is so far from the base that its digits are lost: the last one.
        record: called at each new point.

    Returns:
        Why the steps ended ("" where the residual is within `aim` or the point has drifted), where,
        and the last system.
    """
    last = None
    for _ in range(most):
        if now.residual <= aim:
            break
        plain, newton = joint.steps(now)
        last = plain
        (after, rise, blur), (faster, its_rise, its_blur) = (
            _tried(joint, now, solution) for solution in (plain, newton)
        )
        within = its_rise - rise <= blur + its_blur
        if its_rise - rise < -(blur + its_blur) or (within and faster.residual <= after.residual):
            after, rise, blur = faster, its_rise, its_blur
        if not (rise < -blur or (rise <= blur and after.residual < 0.5 * now.residual)):
            return "rounding allows no more digits", now, last
        now = after
        record(now)
        if drifted(now):
            return "", now, last
    return ("" if now.residual <= aim else "stopped by max_iter"), now, last


def _tried(joint: Joint, now: Point, solution: Solution) -> tuple[Point, float, float]:
    """Where a step leads, J's rise to there, and the error of that.

    J there is the sum of J here and its rise, so that values of J compare as the steps did, unless
    it is known better out of itself.
    """
    after = joint.at(now.d + solution.x)
    rise, blur = joint.rise(now, after)
    summed, rounding = now.objective + rise, now.rounding + blur + EPS * abs(now.objective)
    if rounding <= 2 * after.rounding:
        after = replace(after, objective=summed, rounding=rounding)
    return after, rise, blur
