"""Models read back from their files; nothing in them is ever executed."""

import os
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w261reg.documents import MOST_JSON, json_file, parse_json, read_bytes, toml_file
from w261reg.errors import InputError
from w261reg.files import local_copy, local_form
from w261reg.losses import LOSSES
from w261reg.model import BESIDE, Model
from w261reg.results import FORMAT_VERSION, MODEL
from w261reg.schema import check_metrics, check_model
from w261reg.solvers import Iteration

_BESIDE = ("history.csv", "metrics.json", "config.toml")
# what may not be null
_REQUIRED = (
    "weights", "feature_names", "loss", "status", "message", "standard_deviations",
    "constant_features", "penalty_params", "library_versions", "solver", "why_solver",
    "convention", "n_iter", "n_passes", "rows",
)  # fmt: skip


def load(path: str | os.PathLike[str], loss: Any = None, trust: bool = False) -> Model:
    """The model in a result folder or a model.json; nothing in it is ever executed.

    Args:
        path: of the folder or the file.
        loss: of a model whose loss is a user's own: given anew, path.py:Name, a class or an object.
        trust: let the model execute the Python file that it names as its loss, if the file's text
            is that of the training. Without it such a model predicts and evaluates only with
            `loss`, or where this process has executed that text already.

    Raises:
        InputError: it is missing, truncated, of a newer format, or not a model.
    """
    path = local_form(os.fspath(path), "model")
    with local_copy(path, (MODEL, *_BESIDE)) as found:
        file = found / MODEL if found.is_dir() else found
        if not file.exists():
            raise InputError(f"model not found: {path}")
        data = read_bytes("model", path if file == found else file, MOST_JSON)
        try:
            document = parse_json(data)
        except ValueError as error:
            raise InputError(f"model {path} is not a whole model.json: {error}") from None
        model = replace(_from_document(document, file, str(path)), trusted=trust)
        return model if loss is None else model.with_loss(loss)


def _from_document(document: Any, file: Path, given: str) -> Model:
    if not isinstance(document, dict) or "format_version" not in document:
        raise InputError(f"model {given} is not a model.json: it has no format_version")
    version = document["format_version"]
    if type(version) is not int or version < 1:
        raise InputError(f"model {given} has format_version {version!r}, which there never was")
    if version > FORMAT_VERSION:
        raise InputError(
            f"model {given} has format_version {version}, and this w261reg reads up to "
            f"{FORMAT_VERSION}: upgrade w261reg"
        )
    try:
        check_model(document)
    except ValueError as error:
        raise InputError(f"model {given} is not a model.json: {error}") from None
    values = dict(document)
    values["weights"] = values.pop("coefficients", None)
    wanted = [entry.name for entry in fields(Model) if entry.name not in BESIDE]
    # after the first release
    for added in ("solver_estimates", "storage", "storage_bound", "own_sources", "lambda_max"):
        values.setdefault(added, None)
    values = {"covariance": None, "noise_groups": None, "multipliers": None, **values}
    for name in ("solver_estimates", "own_sources"):
        values[name] = values[name] or {}
    values["storage"] = values["storage"] or "float64"
    for name in _REQUIRED:
        if values.get(name) is None:
            name = "coefficients" if name == "weights" else name
            raise InputError(f"model {given} is not a whole model.json: it has no {name!r}")
    missing = [name for name in wanted if name not in values]
    if missing:
        raise InputError(f"model {given} is not a whole model.json: it has no {missing[0]!r}")
    loss = LOSSES.get(values["loss"])
    several = loss is not None and loss.multiclass
    if isinstance(values["intercept"], list) != several:
        raise InputError(f"model {given} has intercepts that do not go with loss {values['loss']}")
    names, nan = tuple(values["feature_names"]), float("nan")
    if len(set(names)) < len(names):
        raise InputError(f"model {given} has two features of one name")
    weights = np.array(values["weights"], dtype=float)  # null is NaN
    if len(values["standard_deviations"]) != len(names):
        raise InputError(f"model {given} has no standard deviation for each of its features")
    values.update(
        weights=weights,
        feature_names=names,
        intercept=np.array(values["intercept"], dtype=float)
        if several
        else nan
        if values["intercept"] is None
        else float(values["intercept"]),
        classes=None if values["classes"] is None else tuple(values["classes"]),
    )
    for key in ("standard_deviations", "constant_features"):
        values[key] = tuple(values[key])
    for key in ("objective", "optimality_residual"):
        values[key] = nan if values[key] is None else float(values[key])
    classes = values["classes"]
    if several and (classes is None or len(set(classes)) < max(2, len(classes))):
        raise InputError(f"model {given} has classes that do not go with loss {values['loss']}")
    shape = (len(names), len(classes)) if several else (len(names),)
    if weights.shape != shape:
        also = f" and {len(classes)} classes" if several else ""
        raise InputError(
            f"model {given} has {len(names)} feature names{also} for coefficients of shape "
            f"{weights.shape}"
        )
    if several and values["intercept"].shape != shape[1:]:
        raise InputError(
            f"model {given} has {len(classes)} classes for intercepts of shape "
            f"{values['intercept'].shape}"
        )
    if loss is None and values["loss"] not in values["own_sources"]:
        raise InputError(f"model {given} has a loss that is not known here: {values['loss']!r}")
    if (
        loss is not None
        and not several
        and loss.classification != (classes is not None and len(classes) == 2)
    ):
        raise InputError(f"model {given} has classes that do not go with loss {loss.name}")
    return Model(**{name: values[name] for name in wanted}, **_beside(file.parent))


def _beside(folder: Path) -> dict[str, Any]:
    """History, metrics and configuration, as far as they are there and make sense."""
    found: dict[str, Any] = {}
    with suppress(OSError, ValueError, TypeError):  # a model.json on its own is a model
        table = pd.read_csv(folder / "history.csv", float_precision="round_trip")
        if all(kind.kind in "if" for kind in table.dtypes):
            found["history"] = tuple(Iteration(*row) for row in table.itertuples(index=False))
        metrics = json_file("metrics", folder / "metrics.json")
        check_metrics(metrics)
        found["metrics"] = metrics
        found["config"] = toml_file("config", str(folder / "config.toml"))
    return found
