"""Reading a result folder: files in, plain Python values out.

Only `model.json` is required. The other files may be missing, because a report on a run that
stopped half-way is worth more than an error message about it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w261reg.documents import json_file, toml_file
from w261reg.errors import InputError
from w261reg.schema import check_comparison, check_metrics, check_model

OURS = "w261reg"
THEIRS = "pyspark.ml"
HISTORY_COLUMNS = ("iteration", "objective", "residual", "step", "passes", "seconds")
NOT_A_SOLUTION = ("diverged", "separated")


@dataclass(frozen=True)
class Coefficient:
    """One coefficient. Numbers are finite or None, never NaN or infinite.

    `value` and `other` (pyspark.ml's value) are on the raw scale of the feature,
    `standardized` and `other_standardized` are multiplied by the feature's standard deviation.
    `index` counts features from 1, in the order of the model.
    """

    index: int
    feature: str
    class_name: str | None
    value: float | None
    sd: float | None
    standardized: float | None
    standard_error: float | None
    other: float | None
    other_standardized: float | None

    @property
    def label(self) -> str:
        """The feature's name, with the class when there is one row a class."""
        return self.feature if self.class_name is None else f"{self.feature} [{self.class_name}]"


@dataclass(frozen=True)
class Result:
    """A result folder, read. `history` has one list a column, NaN for an empty cell."""

    folder: Path
    model: dict[str, Any]
    history: dict[str, list[float]]
    metrics: dict[str, Any]
    config: dict[str, Any]
    comparison: dict[str, Any] | None
    coefficients: list[Coefficient]

    @property
    def n_history(self) -> int:
        """Points of a curve: over passes, or over iterations where all came out of one pass.

        One iteration out of one pass is a closed form, and no curve.
        """
        passes = {value for value in self.history["passes"] if math.isfinite(value)}
        iterations = len(self.history["iteration"])
        if len(passes) == 1 and iterations > 2:
            return iterations
        return len(passes) if passes else iterations

    @property
    def is_solution(self) -> bool:
        """False if the coefficients are only the last point of a run that has no answer."""
        return self.model.get("status") not in NOT_A_SOLUTION


def number(value: object) -> float | None:
    """`value` as a finite float, None for null, NaN, infinity and everything not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None


def read_result(folder: Path) -> Result:
    """Read a result folder. Raises InputError with the file's name if a file makes no sense."""
    folder = Path(folder)
    if not (folder / "model.json").is_file():
        raise InputError(f"{folder} is not a result folder: it has no model.json")
    model = _read_json(folder / "model.json", check_model)
    comparison = _read_json(folder / "comparison.json", check_comparison) or None
    config = folder / "config.toml"
    return Result(
        folder=folder,
        model=model,
        history=_read_history(folder / "history.csv"),
        metrics=_read_json(folder / "metrics.json", check_metrics),
        config=toml_file("config", config) if config.is_file() else {},
        comparison=comparison,
        coefficients=coefficients_of(model, comparison),
    )


def coefficients_of(
    model: dict[str, Any], comparison: dict[str, Any] | None = None
) -> list[Coefficient]:
    """The coefficients of a model, feature by feature, joined with pyspark.ml's if compared."""
    names = [str(name) for name in model.get("feature_names") or []]
    raw = model.get("coefficients")
    table = list(raw) if isinstance(raw, list) else [None] * len(names)
    multiclass = bool(table) and isinstance(table[0], list)
    # a list a feature, with a number a class
    rows: list[Any] = list(zip(*table, strict=True)) if multiclass else [table]
    classes = model.get("classes") or []
    if len(classes) != len(rows):
        classes = range(len(rows))
    class_names = [str(c) if multiclass else None for c in classes] if multiclass else [None]
    sds = _per_feature(model.get("standard_deviations"), names, "standard_deviations")
    # A two-dimensional list of standard errors has no layout yet that could be relied upon.
    errors = [] if multiclass else model.get("standard_errors")
    ses = _per_feature(errors, names, "standard_errors")
    others = _others(names, class_names, comparison)
    found = []
    for row, class_name in zip(rows, class_names, strict=True):
        values = _per_feature(row, names, "coefficients")
        for j, (name, value, sd) in enumerate(zip(names, values, sds, strict=True)):
            other = others.get((j, class_name))
            standardized, other_standardized = _product(value, sd), _product(other, sd)
            found.append(
                Coefficient(
                    j + 1,
                    name,
                    class_name,
                    value,
                    sd,
                    standardized,
                    ses[j],
                    other,
                    other_standardized,
                )
            )
    return found


def _others(
    names: Sequence[str],
    class_names: Sequence[str | None],
    comparison: dict[str, Any] | None,
) -> dict[tuple[int, str | None], float | None]:
    """pyspark.ml's coefficients by feature position and class; by name if the order differs."""
    entries = (comparison or {}).get("coefficients") or []
    position = {name: j for j, name in enumerate(names)}
    k = len(class_names)
    same_order = [str(entry.get("feature")) for entry in entries[::k]] == list(names)
    found: dict[tuple[int, str | None], float | None] = {}
    for i, entry in enumerate(entries):
        # Names need not be unique, so the position is the better key where it can be trusted.
        j = i // k if same_order else position.get(str(entry.get("feature")))
        class_name = None if class_names[0] is None else str(entry.get("class"))
        if j is not None:
            found[j, class_name] = number(entry.get(THEIRS))
    return found


def _per_feature(values: object, names: Sequence[str], what: str) -> list[float | None]:
    if not values or not isinstance(values, list | tuple):
        return [None] * len(names)
    if len(values) != len(names):
        raise InputError(f"model.json: {len(values)} {what} for {len(names)} features")
    return [number(value) for value in values]


def _product(value: float | None, sd: float | None) -> float | None:
    return None if value is None or sd is None else number(value * sd)


def _read_json(path: Path, check: Callable[[Any], None]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json_file("result", path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a JSON object")
    try:
        check(content)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return content


def _read_history(path: Path) -> dict[str, list[float]]:
    history: dict[str, list[float]] = {name: [] for name in HISTORY_COLUMNS}
    if not path.is_file():
        return history
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                for name in HISTORY_COLUMNS:
                    history[name].append(_cell(row.get(name)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no table: {error}") from None
    return history


def _cell(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
