"""Tables of the page: heads and rows of plain text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from w261reg.report.classes import centred, class_columns
from w261reg.report.result import OURS, THEIRS, Result, number
from w261reg.report.text import (
    NOTHING,
    fmt,
    listed,
    loss_name,
    noise_groups,
    nonzero,
    penalty_name,
    shown,
    status_of,
)

SUMMARY_HEADS = [
    "Problem",
    "Loss",
    "Penalty",
    "Status",
    "Objective",
    "Residual",
    "Non-zero",
    "Passes",
    "Seconds",
    f"{THEIRS} objective minus ours",
    f"{THEIRS} iterations",
    f"{THEIRS} seconds",
]


@dataclass(frozen=True)
class Table:
    """Heads and rows of text. `sizes` order the rows by importance, one number a row."""

    heads: list[str]
    rows: list[list[str]]
    sizes: list[float]

    def largest(self, count: int) -> Table:
        """The `count` rows with the largest sizes, largest first."""
        order = sorted(range(len(self.rows)), key=lambda i: (-self.sizes[i], i))[:count]
        return Table(self.heads, [self.rows[i] for i in order], [self.sizes[i] for i in order])


def coefficient_table(result: Result) -> Table:
    """All coefficients in the model's order: number, name, value, sd, standardized, and so on.

    Of a few classes, a row a feature and a column a class.
    """
    if (columns := class_columns(result)) is not None:
        return Table(*columns)
    found = result.coefficients
    has_errors = any(c.standard_error is not None for c in found)
    compared = any(c.other is not None for c in found)
    heads = ["#", "Feature", "Coefficient", "Sd of feature", "Standardized"]
    heads += ["Standard error"] if has_errors else []
    heads += [THEIRS, "Difference"] if compared else []
    rows, sizes = [], []
    for c in found:
        row = [str(c.index), c.label, fmt(c.value, 6), fmt(c.sd, 4), fmt(c.standardized, 4)]
        if has_errors:
            row.append(fmt(c.standard_error, 4))
        if compared:
            both = c.value is not None and c.other is not None
            difference = (c.other or 0.0) - (c.value or 0.0) if both else None
            row += [fmt(c.other, 6), fmt(difference, 2)]
        rows.append(row)
        size = c.value if c.sd is None else c.standardized
        sizes.append(-1.0 if size is None else abs(size))
    if (values := centred(result)) is not None:
        sizes = [abs(value) for value in values]
    return Table(heads, rows, sizes)


def constraint_table(model: dict[str, Any]) -> Table | None:
    """One row a constraint, with its multiplier; None without constraints."""
    given = model.get("multipliers")
    entries = [e for e in given if isinstance(e, dict)] if isinstance(given, list) else []
    if not entries:
        return None
    rows = [
        [
            shown(entry.get("constraint")),
            "redundant" if entry.get("redundant") else fmt(number(entry.get("multiplier")), 6),
        ]
        for entry in entries
    ]
    return Table(["Constraint", "Multiplier"], rows, [])


def flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) pairs of nested dictionaries, names joined with dots."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flat(value, f"{name}.")
        else:
            yield name, value


def noise_table(result: Result) -> Table | None:
    """One row a group of rows with a noise of its own; None without."""
    groups = noise_groups(result.model)
    if not groups:
        return None
    weighted = any(group.get("sum_of_weights") != group.get("rows") for group in groups)
    heads = ["Group", "Rows", *(["Sum of weights"] if weighted else []), "σ of the noise"]
    rows = [
        [
            shown(group.get("group")),
            fmt(group.get("rows")),
            *([fmt(number(group.get("sum_of_weights")), 6)] if weighted else []),
            fmt(number(group.get("sigma")), 6),
        ]
        for group in groups
    ]
    return Table(heads, rows, [])


def metrics_table(result: Result) -> Table | None:
    """One row a metric, one column a data set; None without metrics."""
    sets = {name: m for name, m in result.metrics.items() if isinstance(m, dict)}
    names = [
        key
        for key in dict.fromkeys(k for m in sets.values() for k, _ in flat(m))
        if key != CONFUSION
    ]
    if not names:
        return None
    columns = {name: dict(flat(m)) for name, m in sets.items()}
    rows = [
        [METRICS.get(name, name), *(_value(column.get(name)) for column in columns.values())]
        for name in names
    ]
    return Table(["Metric", *columns], rows, [])


# a matrix, which has a figure
CONFUSION = "confusion"
METRICS = {
    "rows": "Rows",
    "rmse": "Root mean squared error (label units)",
    "mse": "Mean squared error",
    "mae": "Mean absolute error (label units)",
    "r2": "R², share of variance explained",
    "log_loss": "Log loss (nats a row)",
    "hinge_loss": "Mean hinge loss",
    "squared_hinge_loss": "Mean squared hinge loss",
    "auc": "Area under the ROC curve",
    "auc_error": "Area under the ROC curve: right to",
    "accuracy": "Accuracy",
    "precision_macro": "Precision, mean of the classes",
    "precision_weighted": "Precision, mean by the classes' rows",
    "recall_macro": "Recall, mean of the classes",
    "recall_weighted": "Recall, mean by the classes' rows",
    "f1_macro": "F1, mean of the classes",
    "f1_weighted": "F1, mean by the classes' rows",
    "precision": "Precision",
    "recall": "Recall",
    "log_likelihood": "Log likelihood (a weight counts its row so many times)",
    "null_deviance": "Deviance without the features",
    "residual_deviance": "Deviance of the model",
    "aic": "AIC (non-zero coefficients, or those that constraints leave free, intercept and, for "
    "squared error, variances not given)",
    "noise_variance": "Noise variance, unbiased",
}


def engine_table(result: Result) -> Table | None:
    """One row a fact, one column an engine; None without a comparison."""
    engines = (result.comparison or {}).get("engines") or {}
    engines = {name: facts for name, facts in engines.items() if isinstance(facts, dict)}
    if not engines:
        return None
    rows = [
        [head, *(_engine_value(facts.get(key)) for facts in engines.values())]
        for head, key in (
            ("Version", "version"),
            ("Estimator or solver", "about"),
            ("Status", "status"),
            ("Objective", "objective"),
            ("Intercept", "intercept"),
            ("Iterations", "n_iter"),
            ("Passes over the data", "n_passes"),
            ("Seconds", "seconds"),
        )
    ]
    columns = {name: dict(flat(facts.get("metrics") or {})) for name, facts in engines.items()}
    for name in dict.fromkeys(k for column in columns.values() for k in column if k != CONFUSION):
        cells = [_value(column.get(name)) for column in columns.values()]
        rows.append([METRICS.get(name, name), *cells])
    return Table(["", *engines], rows, [])


def summary_cells(result: Result) -> dict[str, Any]:
    """The result's row of the combined table: badge and colour, and the cells around them."""
    model = result.model
    badge, kind, _ = status_of(model)
    comparison = result.comparison or {}
    engines = comparison.get("engines") or {}
    ours, theirs = engines.get(OURS) or {}, engines.get(THEIRS) or {}
    seconds = number(ours.get("seconds"))
    if seconds is None:
        spent = [s for s in result.history["seconds"] if math.isfinite(s)]
        seconds = max(spent, default=None)
    return {
        "before": [loss_name(model), penalty_name(model)],
        "badge": badge.split(":")[0],
        "kind": kind,
        "after": [
            fmt(number(model.get("objective")), 6),
            fmt(number(model.get("optimality_residual")), 2),
            nonzero(model),
            _value(model.get("n_passes")),
            fmt(seconds, 3),
            fmt(number(comparison.get("objective_difference")), 2),
            _value(theirs.get("n_iter")),
            fmt(number(theirs.get("seconds")), 3),
        ],
    }


def _value(value: object) -> str:
    """A measured value: numbers rounded, everything else as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return shown(value)
    return fmt(value, 6)


def _engine_value(value: object) -> str:
    # Objectives of two engines agree in many digits; rounding must not hide that they differ.
    if isinstance(value, float):
        return fmt(value, 12 if abs(value) < 1e9 else 6)
    if isinstance(value, list):
        return listed([fmt(number(item), 6) for item in value], 4)
    return NOTHING if value is None else _value(value)
