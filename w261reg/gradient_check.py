"""The gradient and the Hessian of an objective against differences: for any loss and penalty."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summarise
from w261reg.blas import one_blas_thread
from w261reg.checks import check_summary
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.losses import get_loss
from w261reg.objective import Objective
from w261reg.posing import feature_orders, pose
from w261reg.sources import Columns

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)
# of a central difference: what rounding and the next term of the series cost are then equal
STEP = EPS ** (1 / 3)
# of errors; of a Hessian where the gradients are themselves differences, to about 1e-10
TOLERANCE, ROUGH_TOLERANCE = 1e-6, 1e-4
# steps, of the first, at which what disagrees is looked at again
SHORTER = 0.25 ** np.arange(1, 5)
# of a pass: models side by side, and numbers in them
MAX_COLUMNS, MAX_NUMBERS = 256, 2**22
# coordinates compared, and of which the Hessian is: its probes are so many gradients
MAX_COORDINATES = 2048


@dataclass(frozen=True)
class Agreement:
    """How a derivative compares with differences.

    Attributes:
        name: gradient or Hessian.
        error: the largest error, relative to the largest entry or, at an optimum, to the scale of
            the residual; probes at kinks left out.
        where: the coordinate, or the two, of the largest error.
        checked: coordinates compared.
        kinks: those whose probe straddles a kink, where a difference tells nothing.
        failed: those that disagree.
        tolerance: of `error`, beside the rounding of the differences themselves.
    """

    name: str
    error: float
    where: str
    checked: int
    kinks: tuple[str, ...]
    failed: tuple[str, ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees."""
        return not self.failed

    @property
    def verdict(self) -> str:
        """In words."""
        if self.failed:
            return f"DISAGREES in {len(self.failed)} of {self.checked}"
        kinks = f"; {_listed(self.kinks)} at a kink, left out" if self.kinks else ""
        return f"agrees{kinks}"


@dataclass(frozen=True)
class GradientCheck:
    """The outcome: `gradient` against values, `hessian` (None where too large) against gradients.

    Attributes:
        at: where, in words.
        objective: F there.
        coordinates: of the problem, the intercept included.
        passes: over the data.
    """

    at: str
    objective: float
    coordinates: int
    gradient: Agreement
    hessian: Agreement | None
    passes: int

    @property
    def ok(self) -> bool:
        """Whether both agree."""
        return self.gradient.ok and (self.hessian is None or self.hessian.ok)

    def __str__(self) -> str:
        chosen = self.gradient.checked
        of = f"{chosen:,} of " if chosen < self.coordinates else ""
        lines = [
            f"{of}{self.coordinates:,} coordinates, {self.at}, objective {self.objective:.12g}"
        ]
        lines.append(f"{'':10}{'largest error':>14}  {'tolerance':>9}  {'where':24}  verdict")
        for own in filter(None, (self.gradient, self.hessian)):
            lines.append(
                f"{own.name:10}{own.error:14.2g}  {own.tolerance:9.0e}  {own.where[:24]:24}  "
                f"{own.verdict}"
            )
        if self.hessian is None:
            lines.append(f"Hessian   not compared: over {MAX_COORDINATES:,} coordinates")
        lines.append("all agree" if self.ok else "they do not agree")
        return "\n".join(lines)


@one_blas_thread()
def check_dataset(
    settings: Settings,
    dataset: Dataset,
    columns: Columns,
    at: tuple[Array, Any] | None,
    seed: int,
) -> GradientCheck:
    """Compare the derivatives of the problem that these settings pose on these rows.

    Args:
        settings: checked.
        dataset: the rows.
        columns: what they hold.
        at: weights and intercept, see `Model`; None is a random point.
        seed: of the random point, and of the coordinates checked where there are too many.

    Raises:
        InputError: the data or the settings cannot be used.
        ComputeError: a pass failed.
    """
    loss = get_loss(settings.loss).of_classes(len(columns.levels or ()))
    summary = dataset.aggregate(Summarise(dataset.n_features, False, loss.outputs))
    check_summary(summary, columns, loss)
    objective = pose(settings, dataset, loss, summary, feature_orders(settings, columns.names))
    rng = np.random.default_rng(seed)
    if at is None:
        theta, where = random_point(objective, rng), f"at a random point (seed {seed})"
    else:
        theta, where = objective.coordinates.theta(*at), "at the model's coefficients"
    names = [columns.names[j] for j in objective.coordinates.active]
    last = ["(intercept)"]
    if columns.levels is not None:
        names = [f"{name} [{value}]" for value in columns.levels for name in names]
        last = [f"(intercept) [{value}]" for value in columns.levels]
    return check_objective(objective, theta, [*names, *last], where, rng)


def random_point(objective: Objective, rng: np.random.Generator) -> Array:
    """A theta (p,) about as far from the null model as a Newton step goes."""
    curvature = objective.null.curvature()
    size = objective.rho / curvature if curvature > 0 else 1.0
    size /= max(1.0, objective.p**0.5)
    return objective.null_theta() + size * rng.normal(size=objective.p)


def check_objective(
    objective: Objective,
    theta: Array,
    names: list[str],
    where: str,
    rng: np.random.Generator,
) -> GradientCheck:
    """Compare the derivatives of an objective at theta (p,), in at most MAX_COORDINATES
    coordinates, with differences of step eps^(1/3) max(1, |theta_j|).

    Each pass evaluates many probes side by side: their values tell the gradient, their gradients
    the Hessian. What disagrees is looked at again at shorter steps. Where the difference agrees
    there, or the two sides do not approach each other as those of a smooth function would, the
    probe straddles a kink; else the derivative is wrong.
    """
    second = objective.p <= MAX_COORDINATES
    now = objective.evaluate(theta, 2 if second else 1, "check")
    chosen = np.arange(objective.p)
    if not second:
        chosen = np.sort(rng.choice(objective.p, MAX_COORDINATES, replace=False))
    probes = _Probes(objective, theta)
    known = (objective.kink > 0) & (np.abs(theta) <= probes.steps)
    scale = max(float(np.max(np.abs(now.gradient), initial=0.0)), objective.rho)
    gradient = _compare(
        "gradient",
        probes.values,
        np.array([now.objective]),
        now.gradient[chosen, None],
        scale,
        chosen,
        probes.steps,
        lambda j, _: names[j],
        known,
        TOLERANCE,
    )
    hessian = None
    if second:
        assert now.hessian is not None
        bent = now.hessian - objective.regularizer.gauge()
        scale = float(np.max(np.abs(np.diagonal(bent)), initial=0.0)) or objective.rho
        hessian = _compare(
            "Hessian",
            probes.gradients,
            now.gradient,
            bent,
            scale,
            chosen,
            probes.steps,
            lambda j, r: f"{names[j]}, {names[r]}",
            known,
            ROUGH_TOLERANCE if objective.loss.numerical else TOLERANCE,
        )
    passes = objective.dataset.passes
    return GradientCheck(where, now.objective, objective.p, gradient, hessian, passes)


class _Probes:
    """Values and gradients at theta + t e_j; each point is evaluated once.

    Attributes:
        steps: the first step of each coordinate (p,).
    """

    def __init__(self, objective: Objective, theta: Array) -> None:
        self.objective, self.theta = objective, theta
        self.steps = STEP * np.maximum(1.0, np.abs(theta))
        self.known: dict[tuple[int, float], tuple[Array, Array]] = {}

    def values(self, wanted: list[tuple[int, float]]) -> Array:
        """F at theta + t e_j for each (j, t): (k, 1)."""
        self._evaluate(wanted)
        return np.array([self.known[key][0] for key in wanted])

    def gradients(self, wanted: list[tuple[int, float]]) -> Array:
        """The gradients there (k, p)."""
        self._evaluate(wanted)
        return np.array([self.known[key][1] for key in wanted])

    def _evaluate(self, wanted: list[tuple[int, float]]) -> None:
        new = [key for key in wanted if key not in self.known]
        many = max(2, min(MAX_COLUMNS, MAX_NUMBERS // max(1, len(self.theta))))
        for start in range(0, len(new), many):
            chunk = new[start : start + many]
            thetas = np.repeat(self.theta[:, None], len(chunk), axis=1)
            for column, (j, t) in enumerate(chunk):
                thetas[j, column] += t
            if len(self.theta) <= MAX_COORDINATES:
                values, gradients = self.objective.slopes(thetas, "probes")
            else:  # the Hessian is not compared
                values = self.objective.values(thetas, "probes")
                gradients = np.zeros((0, len(chunk)))
            for column, key in enumerate(chunk):
                self.known[key] = values[[column]], gradients[:, column].copy()


def _compare(
    name: str,
    function: Callable[[list[tuple[int, float]]], Array],
    here: Array,
    analytic: Array,
    scale: float,
    chosen: NDArray[np.int64],
    steps: Array,
    say: Callable[[int, int], str],
    known: NDArray[np.bool_],
    tolerance: float,
) -> Agreement:
    """Compare derivatives along coordinates with central differences.

    Args:
        name: of the derivative.
        function: f at theta + t e_j for each (j, t), (k, r).
        here: f at theta (r,).
        analytic: df/dtheta_j (q, r), for the coordinates `chosen`.
        scale: what errors are relative to.
        chosen: coordinates (q,).
        steps: of all coordinates (p,).
        say: the name of a place (coordinate, entry of f).
        known: coordinates at a kink of a penalty (p,).
        tolerance: of errors, relative to `scale`.
    """
    size = max(float(np.max(np.abs(here), initial=0.0)), scale * EPS)
    kinks, failed = [], []
    worst, at = 0.0, ""
    first = _Sides.of(function, chosen, steps[chosen])
    error = np.abs(first.central() - analytic)
    wrong = _wrong(error, tolerance * scale, size, first.step)
    again = {j: k for k, j in enumerate(chosen[wrong.any(axis=1)].tolist())}
    short = steps[list(again)]
    later = [_Sides.of(function, np.array(list(again), dtype=np.int64), t * short) for t in SHORTER]
    for q, j in enumerate(chosen.tolist()):
        if j in again:
            k = again[j]
            looks = [own.one(k) for own in later]
            if _at_kink([first.one(q), *looks], here, analytic[[q]], tolerance * scale, size):
                kinks.append(say(j, 0).split(", ")[0])
                continue
            failed.append(say(j, int(np.argmax(error[q]))))
        elif known[j]:
            kinks.append(say(j, 0).split(", ")[0])
        r = int(np.argmax(error[q])) if error.shape[1] else 0
        if error.shape[1] and error[q, r] / scale >= worst:
            worst, at = float(error[q, r] / scale), say(j, r)
    return Agreement(name, worst, at, len(chosen), tuple(kinks), tuple(failed), tolerance)


@dataclass(frozen=True)
class _Sides:
    """f on both sides of theta along some coordinates.

    Attributes:
        high, low: (q, r) each.
        step: (q,).
    """

    high: Array
    low: Array
    step: Array

    @classmethod
    def of(
        cls,
        function: Callable[[list[tuple[int, float]]], Array],
        coordinates: NDArray[np.int64],
        step: Array,
    ) -> "_Sides":
        pairs = list(zip(coordinates.tolist(), step.tolist(), strict=True))
        if not pairs:
            return cls(np.zeros((0, 1)), np.zeros((0, 1)), step)
        both = function([*pairs, *[(j, -t) for j, t in pairs]])
        return cls(both[: len(pairs)], both[len(pairs) :], step)

    def one(self, q: int) -> "_Sides":
        return _Sides(self.high[[q]], self.low[[q]], self.step[[q]])

    def central(self) -> Array:
        slope: Array = (self.high - self.low) / (2 * self.step[:, None])
        return slope


def _wrong(error: Array, most: float, size: float, step: Array) -> NDArray[np.bool_]:
    """Where errors (q, r) are above the most there may be and the rounding of the difference."""
    wrong: NDArray[np.bool_] = ~(error <= most + 8 * EPS * size / step[:, None])
    return wrong


def _at_kink(looks: list[_Sides], here: Array, analytic: Array, most: float, size: float) -> bool:
    """Whether one coordinate's probes, of shorter and shorter steps, straddle a kink or a jump."""
    first, last = looks[0], looks[-1]
    for own in looks[1:]:
        if not _wrong(np.abs(own.central() - analytic), most, size, own.step).any():
            return True  # further out there is one
    off = _wrong(np.abs(first.central() - analytic), most, size, first.step)
    noise = 32 * EPS * size
    # the jump of f from side to side, which shrinks with the step unless f itself jumps
    jumps = [np.abs(own.high - own.low) for own in (first, last)]
    if (jumps[1] > np.maximum(0.5 * jumps[0], noise))[off].all():
        return True
    # the jump of its slope, likewise; a subderivative lies between both
    t = last.step[:, None]
    sides = np.sort(np.stack([last.high - here, here - last.low]), axis=0) / t
    gaps = [np.abs(own.high - 2 * here + own.low) / own.step[:, None] for own in (first, last)]
    between = (analytic >= sides[0] - noise / t) & (analytic <= sides[1] + noise / t)
    bends = gaps[1] > np.maximum(0.5 * gaps[0], noise / t)
    return bool((between & bends)[off].all())


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
