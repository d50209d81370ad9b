"""What the documents of a result folder may hold: shapes and types, checked before any use.

A field that is missing is not checked here: a report shows what there is, and `load` says what it
needs. Fields that are not known are left alone, for later versions have more.
"""

from collections.abc import Callable
from typing import Any

# a field's value -> what it must be, in words, where it is not; else ""
Check = Callable[[Any], str]
_SCALARS = str | bool | int | float


def check_model(document: dict[str, Any]) -> None:
    """Raise ValueError where a model.json holds something of a wrong type or shape."""
    _check(document, _MODEL)
    names = document.get("feature_names")
    if names is None:
        return
    several = isinstance(document.get("intercept"), list)
    for key in ("coefficients", "standard_deviations", "standard_errors"):
        given = document.get(key)
        if given and len(given) != len(names):  # without any they may be left out
            raise ValueError(f"it has {len(names):,} feature names for {len(given):,} {key}")
    if several:
        classes, intercepts = document.get("classes") or [], document["intercept"]
        if len(classes) != len(intercepts):
            raise ValueError(f"it has {len(classes):,} classes for {len(intercepts):,} intercepts")
    rows = document.get("coefficients") or []
    nested = {isinstance(row, list) for row in rows}
    if len(nested) > 1 or (True in nested and len({len(row) for row in rows}) > 1):
        raise ValueError("its coefficients are no matrix")
    covariance = document.get("covariance")
    if covariance is not None and {len(row) for row in covariance} != {len(covariance)}:
        raise ValueError("its covariance is no square matrix")
    if covariance is not None and len(covariance) not in (len(names), len(names) + 1):
        raise ValueError(f"it has {len(names):,} feature names for another covariance")
    unknown = set(document.get("constant_features") or ()) - set(names)
    if unknown:
        raise ValueError("it has constant features that are not among its features")


def check_metrics(document: Any) -> None:
    """Raise ValueError where a metrics.json holds something of a wrong type or shape."""
    if not isinstance(document, dict):
        raise ValueError("it is no table of data sets")
    for name, metrics in document.items():
        if not isinstance(metrics, dict):
            raise ValueError(f"{name!r} must be a table of metrics")
        _check(metrics, {"confusion": _list(_list(_number))})
        matrix = metrics.get("confusion")
        if matrix and {len(row) for row in matrix} != {len(matrix)}:
            raise ValueError(f"{name!r} has a confusion that is no square matrix")


def check_comparison(document: dict[str, Any]) -> None:
    """Raise ValueError where a comparison.json holds something of a wrong type or shape."""
    _check(document, _COMPARISON)
    for name, facts in (document.get("engines") or {}).items():
        _check(facts, _ENGINE, f"{name!r}: ")
    for facts in document.get("coefficients") or []:
        _check(facts, _COEFFICIENT)


def _check(document: dict[str, Any], shapes: dict[str, Check], where: str = "") -> None:
    for name, check in shapes.items():
        if document.get(name) is not None and (must := check(document[name])):
            raise ValueError(f"it has values of wrong types: {where}{name} must be {must}")


# --- types: null stands for a number or text that is not known or not finite, and for a field -----


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, str) else "text"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _number(value: Any) -> str:
    if value is None or isinstance(value, float):
        return ""
    if isinstance(value, bool) or not isinstance(value, int):
        return "a number"
    try:
        float(value)
    except OverflowError:
        return "a number in the range of doubles"
    return ""


def _count(value: Any) -> str:
    whole = value is None or (isinstance(value, int) and not isinstance(value, bool))
    return "" if whole and 0 <= (value or 0) < 2**63 else "an integer in [0, 2^63)"


def _scalar(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return "" if value is None or isinstance(value, _SCALARS) else "text or a number"


def _list(check: Check) -> Check:
    def checked(value: Any) -> str:
        if not isinstance(value, list):
            return "a list"
        return next((f"a list, each {must}" for v in value if (must := check(v))), "")

    return checked


def _table(check: Check) -> Check:
    def checked(value: Any) -> str:
        if not isinstance(value, dict):
            return "a table"
        return next((f"a table, each {must}" for v in value.values() if (must := check(v))), "")

    return checked


def _tables(**shapes: Check) -> Check:
    """A list of tables, each with these fields, which must be there."""

    def one(value: Any) -> str:
        if not isinstance(value, dict):
            return "a table"
        for name, check in shapes.items():
            if name not in value:
                return f"a table with {name}"
            if must := check(value[name]):
                return f"a table whose {name} is {must}"
        return ""

    return _list(one)


def _either(*checks: Check) -> Check:
    def checked(value: Any) -> str:
        found = [check(value) for check in checks]
        return "" if "" in found else " or ".join(found)

    return checked


def _classes(value: Any) -> str:
    """Different values of one kind: text, booleans, or numbers."""
    if not isinstance(value, list) or len(value) < 2:
        return "a list of two or more"
    alike = any(
        all(isinstance(entry, kind) for entry in value)
        for kind in (str, bool, int, float, int | float)
    )
    numbers = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
    if not alike or any(_number(v) or not -(2**63) <= v < 2**63 for v in numbers):
        return "texts, or numbers, or booleans"
    if any(isinstance(v, bool) for v in value) and not all(isinstance(v, bool) for v in value):
        return "texts, or numbers, or booleans"
    return "" if len(set(value)) == len(value) else "different from each other"


def _names(value: Any) -> str:
    texts = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return "" if texts else "a list of texts"


_NUMBERS = _list(_number)
_PLAIN = _either(_scalar, _list(_scalar))
_MODEL: dict[str, Check] = {
    "loss": _text,
    "feature_names": _names,
    "coefficients": _either(_NUMBERS, _list(_NUMBERS)),
    "intercept": _either(_number, _NUMBERS),
    "classes": _classes,
    "label": _text,
    "vector_column": _text,
    "convention": _text,
    "penalty_params": _table(_PLAIN),
    "fit_intercept": _flag,
    "standardization": _flag,
    "status": _text,
    "message": _text,
    "solver": _text,
    "why_solver": _text,
    "storage": _text,
    "standard_errors": _NUMBERS,
    "standard_deviations": _NUMBERS,
    "constant_features": _names,
    "library_versions": _table(_text),
    "solver_estimates": _table(_table(_number)),
    "own_sources": _table(_text),
    "covariance": _list(_NUMBERS),
    "noise_groups": _tables(group=_scalar, rows=_count, sum_of_weights=_number, sigma=_number),
    "multipliers": _tables(constraint=_text, redundant=_flag),
    "n_iter": _count,
    "n_passes": _count,
    "rows": _count,
    **dict.fromkeys(
        (
            "reg_param",
            "elastic_net_param",
            "l1",
            "l2",
            "objective",
            "optimality_residual",
            "tol",
            "suboptimality_bound",
            "condition_number",
            "sum_of_weights",
            "storage_bound",
            "lambda_max",
            "seconds",
        ),
        _number,
    ),
}
_COMPARISON: dict[str, Check] = {
    "problem": _table(_PLAIN),
    "engines": _table(_table(lambda value: "")),
    "coefficients": _list(_table(_scalar)),
    "objective_difference": _number,
    "max_coefficient_difference": _number,
    "note": _text,
}
_ENGINE: dict[str, Check] = {
    "objective": _number,
    "seconds": _number,
    "n_iter": _count,
    "n_passes": _count,
    "intercept": _either(_number, _NUMBERS),
    "metrics": _table(_either(_scalar, _list(_either(_scalar, _NUMBERS)))),
    "status": _text,
    "about": _text,
    "version": _text,
}
_COEFFICIENT: dict[str, Check] = {"feature": _text, "w261reg": _number, "pyspark.ml": _number}
