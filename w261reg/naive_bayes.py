"""Multinomial naive Bayes: one pass of counting, and the answer is shares of the counts."""

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators.class_counts import CountClasses, Counts
from w261reg.checks import check_census
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.errors import InputError
from w261reg.model import Model
from w261reg.solvers import Iteration, Status
from w261reg.sources import Columns
from w261reg.versions import library_versions

Array = NDArray[np.float64]
# where the priors are smoothed as pyspark.ml does; elsewhere they are the classes' shares
SMOOTHED_PRIORS = ("spark",)
MOST_NAMES = 5


@dataclass(frozen=True)
class Shares:
    """log theta (n, K), log pi (K,), and the objective that they are the minimum of.

    Attributes:
        theta, prior: logarithms.
        objective: -(1/S) (sum_k (S_k + a) log pi_k + sum_jk (N_jk + smoothing) log theta_jk), the
            mean negative log joint likelihood with the pseudo-counts (a is 0, or the smoothing
            where it counts for the priors, too), without multinomial coefficients.
        residual: how far the shares of a class are from adding up to 1.
    """

    theta: Array
    prior: Array
    objective: float
    residual: float

    @classmethod
    def of(cls, counts: Counts, smoothing: float, smooth_priors: bool) -> "Shares":
        """theta_jk = (N_jk + smoothing) / (N_k + n smoothing), pi_k = (S_k + a) / (S + K a)."""
        sums, weight = counts.sums + smoothing, counts.weight + smoothing * smooth_priors
        theta = np.log(sums) - np.log(sums.sum(axis=0))
        prior = np.log(weight) - math.log(weight.sum())
        total = float(weight @ prior) + float((sums * theta).sum())
        off = np.abs(np.exp(theta).sum(axis=0) - 1.0).max()
        residual = max(float(off), abs(float(np.exp(prior).sum()) - 1.0))
        return cls(theta, prior, -total / float(counts.weight.sum()), residual)


def fit_counts(
    settings: Settings, dataset: Dataset, columns: Columns, spark: str | None, began: float
) -> Model:
    """The model of a counting pass; without metrics.

    Args:
        settings: checked.
        dataset: the rows.
        columns: with the classes.
        spark: version of Spark, or None.
        began: `time.perf_counter()` when the work began.

    Raises:
        InputError: features below 0, or counts of 0 without smoothing.
    """
    classes, names = columns.levels or (), columns.names
    counts = dataset.aggregate(CountClasses(dataset.n_features, len(classes)))
    smoothing = settings.smoothing or 0.0
    _check(counts, columns, smoothing)
    found = Shares.of(counts, smoothing, settings.convention in SMOOTHED_PRIORS)
    seconds = time.perf_counter() - began
    entry = Iteration(0, found.objective, found.residual, math.nan, dataset.passes, seconds)
    return Model(
        loss=settings.loss,
        feature_names=names,
        weights=found.theta,
        intercept=found.prior,
        classes=classes,
        label=columns.label,
        vector_column=columns.columns[0] if columns.vector else None,
        reg_param=0.0,
        elastic_net_param=0.0,
        convention=settings.convention,
        l1=0.0,
        l2=0.0,
        penalty_params={"smoothing": smoothing},
        fit_intercept=True,
        standardization=False,
        objective=found.objective,
        status=str(Status.CONVERGED),
        message="a closed form: the priors and the features' shares in each class are counted",
        optimality_residual=found.residual,
        tol=settings.tol,
        suboptimality_bound=None,
        standard_errors=None,
        condition_number=None,
        n_iter=0,
        n_passes=dataset.passes,
        solver="counts",
        why_solver="naive Bayes is shares of counts, so that nothing is minimised step by step",
        rows=counts.rows,
        sum_of_weights=float(counts.weight.sum()),
        standard_deviations=(math.nan,) * len(names),
        constant_features=(),
        library_versions=library_versions(spark),
        storage=settings.storage,
        history=(entry,),
        config=settings.to_dict(),
    )


def _check(counts: Counts, columns: Columns, smoothing: float) -> None:
    """Raise InputError where the counts make no model."""
    check_census(counts.census, columns)
    names, low = columns.names, counts.low
    if (negative := np.flatnonzero(low < 0)).size:
        least = float(low.min())
        raise InputError(
            f"features must be >= 0 for loss naive_bayes, which takes them as counts: "
            f"{_listed([names[j] for j in negative])} has values below 0, the least {least:g}"
        )
    if not np.isfinite(counts.sums).all():
        raise InputError("features are too large for loss naive_bayes: their sums overflow")
    zeros = np.argwhere(counts.sums == 0)
    if smoothing == 0 and len(zeros):
        j, k = zeros[0]
        classes = columns.levels or ()
        raise InputError(
            f"smoothing must be > 0 for this data, not 0: feature {names[j]!r} is 0 in all rows of "
            f"class {classes[k]!r}, so its probability there would be 0, and its logarithm infinite"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(repr, names[:MOST_NAMES])) + more
