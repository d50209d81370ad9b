"""Likelihood statistics of a linear model on some rows: log likelihood, deviances and AIC.

Those of R's glm. A weight is a frequency: weight k is the row k times, so that there are S rows. A
penalised model is taken as it is: the statistics are those of the data at its coefficients, without
the penalty. They need nothing but sums that a fit, or its scores, have anyway.
"""

import math
from dataclasses import dataclass

from scipy.special import entr

from w261reg.losses import Loss


@dataclass(frozen=True)
class Moments:
    """What rows tell of a model, and of the model without features.

    Attributes:
        weight: S.
        loss: mean loss of the model.
        y_mean, y_variance: of the label, by weight; the variance over S.
    """

    weight: float
    loss: float
    y_mean: float
    y_variance: float


def likelihood(
    loss: Loss, rows: Moments, fit_intercept: bool, coefficients: int
) -> dict[str, float]:
    """The statistics by name; none for a loss that is not a likelihood.

    Args:
        loss: pointwise loss; `loss.family` says of what.
        rows: sums of the rows.
        fit_intercept: whether the null model, too, has an intercept: the best of these rows.
        coefficients: that count as parameters, the intercept not among them: those that are not 0;
            under constraints, one less for each.

    Returns:
        log_likelihood; null_deviance and residual_deviance, 2 (log likelihood of a model that fits
        every row - that of the null model, or this one), for the Gaussian times its variance: the
        sums of squares; aic = 2 (parameters - log likelihood). An infinite likelihood is a Gaussian
        that fits every row.

        Bernoulli: log likelihood -S mean loss, deviance -2 times that, and for p = 1/2, the null
        model without an intercept, 2 S log 2. Gaussian: the variance is that of most likelihood,
        RSS/S of these rows, and as in R a parameter that counts; statsmodels, which does not count
        it, has an aic that is 2 less. A parameter is a coefficient other than 0 or an intercept:
        under L2 that is more than the effective number.
    """
    parameters = coefficients + fit_intercept
    if loss.family == "bernoulli":
        log_likelihood = -rows.weight * rows.loss
        p = rows.y_mean if fit_intercept else 0.5
        null = float(entr(p) + entr(1 - p))
        null_deviance, residual_deviance = 2 * rows.weight * null, -2 * log_likelihood
    elif loss.family == "gaussian":
        variance = max(0.0, 2 * rows.loss)
        residual_deviance = rows.weight * variance
        square = 0.0 if fit_intercept else rows.y_mean * rows.y_mean
        null_deviance = rows.weight * (rows.y_variance + square)
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
