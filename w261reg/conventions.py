"""What a strength means: from the user's terms to the canonical objective.

    F(w, b) = (1/S) sum s l(y, z) + l1 sum d_j |w_j| + (l2/2) sum d_j^2 w_j^2

Every library divides, scales and halves differently. A convention is one function from what the
user gave, and the data's moments, to the pair (l1, l2), the scale d and the factor of a step size.
Each was checked against the library it is named after.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summary
from w261reg.errors import InputError
from w261reg.losses import Loss

Array = NDArray[np.float64]

# pyspark.ml's LinearRegression takes its normal equation solver up to here (WeightedLeastSquares)
SPARK_NORMAL_MAX_FEATURES: Final = 4096
# strengths with which numbers can hold a penalty
LEAST, MOST = 1e-152, 1e152


@dataclass(frozen=True)
class Strengths:
    """A problem's regularization in canonical terms.

    Attributes:
        l1, l2: the strengths.
        sd: standard deviations of the features (n,) by the convention's divisor.
        scale: d (n,): `sd` where the problem is standardized, else ones.
        step: multiplies a step size given in the convention's terms.
    """

    l1: float
    l2: float
    sd: Array
    scale: Array
    step: float


@dataclass(frozen=True)
class _Given:
    """What a convention may look at."""

    reg_param: float
    mix: float
    loss: Loss
    summary: Summary
    fit_intercept: bool
    free: bool


@dataclass(frozen=True)
class _Terms:
    """What a convention decides."""

    l1: float
    l2: float
    divisor: float
    step: float = 1.0


def _canonical(given: _Given) -> _Terms:
    lam, a = given.reg_param, given.mix
    return _Terms(lam * a, lam * (1 - a), given.summary.weight)


def _sd_y(given: _Given, divisor: float, name: str) -> float:
    """sd(y). That of a constant label is 0, and any number does where weights 0 fit it exactly."""
    sd = float(given.summary.sd(divisor)[-1])
    if sd > 0:
        return sd
    fits = given.free and (given.fit_intercept or given.summary.y_mean == 0)
    if given.reg_param > 0 and given.mix < 1 and not fits:
        why = "without an intercept" if given.free else "under constraints"
        raise InputError(
            f"the label is constant ({given.summary.y_mean:g}) and convention {name} divides "
            f"reg_param by its standard deviation, which {why} has no meaning (pyspark.ml refuses "
            "it, too); use convention canonical"
        )
    return 1.0


def _sample_divisor(summary: Summary) -> float:
    if not np.isfinite(summary.weight_squares):
        raise InputError(f"weights are too large: their squares overflow ({summary.weight:g})")
    return summary.weight - summary.weight_squares / summary.weight


def _spark(given: _Given) -> _Terms:
    """pyspark.ml with its default solvers: WeightedLeastSquares for few features, else L-BFGS."""
    if given.loss.quadratic and len(given.summary.mean) <= SPARK_NORMAL_MAX_FEATURES:
        lam, a, weight = given.reg_param, given.mix, given.summary.weight
        return _Terms(lam * a, lam * (1 - a) / _sd_y(given, weight, "spark"), weight)
    return _spark_lbfgs(given)


def _spark_lbfgs(given: _Given) -> _Terms:
    """pyspark.ml's L-BFGS: standard deviations over S - sum s^2 / S, which is m - 1 unweighted."""
    lam, a = given.reg_param, given.mix
    divisor = _sample_divisor(given.summary)
    l2 = lam * (1 - a)
    if given.loss.quadratic:
        l2 /= _sd_y(given, divisor, "spark-lbfgs")
    return _Terms(lam * a, l2, divisor)


def _glmnet(given: _Given) -> _Terms:
    """R's glmnet; its gaussian family standardizes y, by its root mean square if no intercept."""
    lam, a, summary = given.reg_param, given.mix, given.summary
    l2 = lam * (1 - a)
    if given.loss.quadratic:
        sd = float(summary.sd()[-1]) if not given.fit_intercept else 0.0
        if given.fit_intercept:
            l2 /= _sd_y(given, summary.weight, "glmnet")
        elif (rms := float(np.hypot(sd, summary.y_mean))) > 0:
            l2 /= rms
    return _Terms(lam * a, l2, summary.weight)


def _sklearn(given: _Given) -> _Terms:
    """scikit-learn: C of a classifier; alpha of Ridge (no L1 part), Lasso or ElasticNet."""
    lam, a, weight = given.reg_param, given.mix, given.summary.weight
    if given.loss.classification:
        # a product that underflows is an infinite strength, which is refused
        inverse = lam * weight or 5e-324
        return _Terms(a / inverse, (1 - a) / inverse, weight)
    if a == 0:
        return _Terms(0.0, lam / weight, weight)
    return _Terms(lam * a, lam * (1 - a), weight)


def _course(given: _Given) -> _Terms:
    """The course's mean squared error is twice ours and its ridge gradient is lam w."""
    lam, a = given.reg_param, given.mix
    half = 0.5 if given.loss.quadratic else 1.0
    return _Terms(lam * a * half, lam * (1 - a) * half, given.summary.weight, step=1 / half)


def _homework(given: _Given) -> _Terms:
    """Cross entropy summed over rows, + lam |w|^2."""
    weight = given.summary.weight
    return _Terms(0.0, 2 * given.reg_param / weight, weight, step=weight)


@dataclass(frozen=True)
class Convention:
    """A named convention: its function, and whether it standardizes unless told otherwise."""

    translate: Callable[[_Given], _Terms]
    standardizes: bool
    about: str


CONVENTIONS: Final[dict[str, Convention]] = {
    "spark": Convention(_spark, True, "pyspark.ml's regParam; the same value, its coefficients"),
    "spark-lbfgs": Convention(
        _spark_lbfgs, True, 'pyspark.ml with LinearRegression(solver="l-bfgs")'
    ),
    "canonical": Convention(_canonical, True, "the objective F as it stands"),
    "sklearn": Convention(
        _sklearn,
        False,
        "C of LogisticRegression and LinearSVC; alpha of Ridge, or of ElasticNet where mixed",
    ),
    "glmnet": Convention(_glmnet, True, "lambda of R's glmnet"),
    "course": Convention(_course, False, "mean squared error without its half; BXE as canonical"),
    "homework": Convention(_homework, False, "summed cross entropy + reg_param |w|^2"),
}


def check_terms(convention: str, loss: Loss, reg_param: float, elastic_net_param: float) -> None:
    """Raise InputError where a convention has no meaning for what the user gave."""
    if convention == "sklearn" and loss.classification and reg_param == 0:
        raise InputError(
            "reg_param is scikit-learn's C under convention sklearn and must be > 0, not 0; for no "
            "penalty use convention canonical"
        )
    if convention in ("homework", "glmnet") and loss.classification and not loss.probabilistic:
        raise InputError(f"convention {convention} has no loss {loss.name}: use canonical")
    if convention == "homework" and not loss.classification:
        raise InputError(f"convention homework is for classification, not loss {loss.name!r}")
    if convention == "homework" and elastic_net_param != 0:
        raise InputError(
            "convention homework has an L2 penalty only: elastic_net_param must be 0, not "
            f"{elastic_net_param:g}"
        )


def strengths(
    convention: str,
    *,
    reg_param: float,
    elastic_net_param: float,
    loss: Loss,
    summary: Summary,
    fit_intercept: bool,
    standardization: bool,
    free: bool = True,
) -> Strengths:
    """Translate a strength and a mix into the canonical objective.

    Args:
        convention: a name in CONVENTIONS.
        reg_param: the strength, >= 0, in the convention's terms.
        elastic_net_param: the mix, 0 for L2 to 1 for L1.
        loss, summary, fit_intercept: what else the translation depends on.
        standardization: penalise d_j w_j with d_j the standard deviation, rather than w_j.
        free: whether weights of 0 are allowed; constraints may forbid them.

    Raises:
        InputError: the convention has no meaning for these values.
    """
    check_terms(convention, loss, reg_param, elastic_net_param)
    given = _Given(reg_param, elastic_net_param, loss, summary, fit_intercept, free)
    terms = CONVENTIONS[convention].translate(given)
    for name, strength in (("l1", terms.l1), ("l2", terms.l2)):
        if strength and not LEAST <= strength <= MOST:
            raise InputError(
                f"reg_param {reg_param:g} of convention {convention} is here a strength {name} of "
                f"{strength:g}, which must be 0, or from {LEAST:g} to {MOST:g}"
            )
    sd = summary.sd(terms.divisor)[:-1]
    if standardization and ((sd == 0) & (summary.sd()[:-1] > 0)).any():
        raise InputError(
            f"convention {convention} divides squares by S - sum s^2 / S of the weights s, which "
            f"is {terms.divisor:g} here, for one row has all the weight: use convention canonical"
        )
    scale = sd if standardization else np.ones_like(sd)
    return Strengths(terms.l1, terms.l2, sd, scale, terms.step)
