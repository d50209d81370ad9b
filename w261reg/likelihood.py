"""Likelihood statistics of a linear model on some rows: log likelihood, deviances and AIC.

Those of R's glm. A weight is a frequency: weight k is the row k times, so that there are S rows. A
penalised model is taken as it is: the statistics are those of the data at its coefficients, without
the penalty. They need nothing but sums that a fit, or its scores, have anyway.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from w261reg.losses import Loss

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """What rows tell of a model, and of the model without features.

    Attributes:
        weight: S.
        loss: mean loss of the model.
        y_mean, y_variance: of the label, by weight; the variance over S.
        shares: of the classes, by weight (K,); of two, None is what `y_mean` tells.
    """

    weight: float
    loss: float
    y_mean: float
    y_variance: float
    shares: Array | None = None


@dataclass(frozen=True)
class Noise:
    """What is known of Gaussian noise beside the weights s/sigma^2 of the rows.

    Attributes:
        weight: sum s.
        log_sigma: sum s log sigma.
        estimated: how many sigmas were estimated.
    """

    weight: float
    log_sigma: float
    estimated: int = 0


def likelihood(
    loss: Loss, rows: Moments, fit_intercept: bool, nonzero: int, noise: Noise | None = None
) -> dict[str, float]:
    """The statistics by name; none for a loss that is not a likelihood.

    Args:
        loss: pointwise loss; `loss.family` says of what.
        rows: sums of the rows.
        fit_intercept: whether the null model, too, has an intercept: the best of these rows.
        nonzero: coefficients that are parameters, as `count_nonzero` counts them; under constraints
            as many as they leave free.
        noise: of rows whose weights are s/sigma^2; None is one unknown variance for all.

    Returns:
        log_likelihood; null_deviance and residual_deviance, 2 (log likelihood of a model that fits
        every row - that of the null model, or this one), for the Gaussian times its variance: the
        sums of squares; aic = 2 (parameters - log likelihood). An infinite likelihood is a Gaussian
        that fits every row.

        Bernoulli: log likelihood -S mean loss, deviance -2 times that, and for p = 1/2, the null
        model without an intercept, 2 S log 2. Gaussian: the variance is that of most likelihood,
        RSS/S of these rows, and as in R a parameter that counts; statsmodels, which does not count
        it, has an aic that is 2 less. A parameter is a coefficient other than 0 or an intercept:
        under L2 that is more than the effective number. With `noise` the deviances are sums of
        s (y - z)^2/sigma^2, the log likelihood is - deviance/2 - sum s log(sigma sqrt(2 pi)), and
        the sigmas that were estimated count. Multinomial: as Bernoulli, with the classes' shares or
        1/K in the null model, and K - 1 intercepts.
    """
    parameters = nonzero + fit_intercept
    if loss.family == "bernoulli":
        log_likelihood = -rows.weight * rows.loss
        shares = rows.shares
        if shares is None:
            shares = np.array([1 - rows.y_mean, rows.y_mean])
        null = float(entr(shares).sum()) if fit_intercept else math.log(2)
        null_deviance, residual_deviance = 2 * rows.weight * null, -2 * log_likelihood
    elif loss.family == "multinomial":
        assert rows.shares is not None
        classes = len(rows.shares)
        log_likelihood = -rows.weight * rows.loss
        null = float(entr(rows.shares).sum()) if fit_intercept else math.log(classes)
        null_deviance, residual_deviance = 2 * rows.weight * null, -2 * log_likelihood
        parameters = nonzero + (classes - 1) * fit_intercept
    elif loss.family == "gaussian":
        variance = max(0.0, 2 * rows.loss)
        residual_deviance = rows.weight * variance
        square = 0.0 if fit_intercept else rows.y_mean * rows.y_mean
        null_deviance = rows.weight * (rows.y_variance + square)
        if noise is not None:
            normal = noise.weight / 2 * math.log(2 * math.pi) + noise.log_sigma
            log_likelihood = -residual_deviance / 2 - normal
            parameters += noise.estimated
        else:
            log_density = -math.log(2 * math.pi * variance) - 1 if variance > 0 else math.inf
            log_likelihood = rows.weight / 2 * log_density
            parameters += 1
    else:
        return {}
    return {
        "log_likelihood": log_likelihood,
        "null_deviance": null_deviance,
        "residual_deviance": residual_deviance,
        "aic": 2 * (parameters - log_likelihood),
    }


def count_nonzero(weights: Array) -> int:
    """Coefficients that are parameters: those that are not 0.

    The probabilities of K classes do not change where all of a feature's coefficients (K,) change
    alike, so of them those count that differ from the most frequent one: K - 1 without a penalty or
    under L2, where one class can be the reference; under L1 those that are not 0.

    Args:
        weights: (n,), or (n, K) of K classes.
    """
    if weights.ndim == 1:
        return int(np.count_nonzero(weights))
    n, k = weights.shape
    ordered = np.sort(weights, axis=1)
    run, longest = np.ones(n, dtype=np.int64), np.ones(n, dtype=np.int64)
    for j in range(1, k):
        run = np.where(ordered[:, j] == ordered[:, j - 1], run + 1, 1)
        longest = np.maximum(longest, run)
    return int((k - longest).sum())
