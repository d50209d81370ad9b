"""Models read back from their files; nothing in them is ever executed."""

import json
import os
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from w261reg.errors import InputError
from w261reg.files import local_copy
from w261reg.losses import LOSSES
from w261reg.model import BESIDE, FORMAT_VERSION, Model
from w261reg.solvers import Iteration

Array = NDArray[np.float64]


def load(path: str | os.PathLike[str], loss: Any = None) -> Model:
    """The model in a result folder or a model.json; nothing in it is ever executed.

    Args:
        path: of the folder or the file.
        loss: given anew, where a user's own is no longer at its path: path.py:Name, a class or an
            object. Without it, predicting executes the file that the model names, if its text is
            that of the training.

    Raises:
        InputError: it is missing, truncated, of a newer format, or not a model.
    """
    with local_copy(path, ("model.json", "history.csv", "metrics.json", "config.toml")) as found:
        file = found / "model.json" if found.is_dir() else found
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"model not found: {path}") from None
        except OSError as error:
            raise InputError(f"model {path} cannot be read: {error.strerror}") from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise InputError(f"model {path} is not a whole model.json: {error}") from None
        model = _from_document(document, file, str(path))
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
    values = dict(document)
    values["weights"] = values.pop("coefficients", None)
    wanted = [entry.name for entry in fields(Model) if entry.name not in BESIDE]
    # after the first release
    for added in ("solver_estimates", "storage", "storage_bound", "own_sources", "lambda_max"):
        values.setdefault(added, {} if added in ("solver_estimates", "own_sources") else None)
    values["storage"] = values["storage"] or "float64"
    values = {"covariance": None, "noise_groups": None, "multipliers": None, **values}
    missing = [name for name in wanted if name not in values]
    if missing or values["weights"] is None:
        name = "coefficients" if missing == ["weights"] or not missing else missing[0]
        raise InputError(f"model {given} is not a whole model.json: it has no {name!r}")
    try:
        weights = np.array(values["weights"], dtype=float)
        names = tuple(map(str, values["feature_names"]))
        nan = float("nan")
        loss = LOSSES.get(str(values["loss"]))
        several = loss is not None and loss.multiclass
        values.update(
            weights=weights,
            feature_names=names,
            intercept=_intercept(values["intercept"], several),
            classes=None if values["classes"] is None else tuple(values["classes"]),
        )
        if values["multipliers"] is not None:
            values["multipliers"] = [
                {**entry, "redundant": bool(entry["redundant"])} for entry in values["multipliers"]
            ]
        for key in ("standard_deviations", "constant_features"):
            values[key] = tuple(values[key])
        for key in ("objective", "optimality_residual"):
            values[key] = nan if values[key] is None else float(values[key])
    except (TypeError, ValueError, KeyError):
        raise InputError(
            f"model {given} is not a model.json: it has values of wrong types"
        ) from None
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
    if not isinstance(values["own_sources"], dict):
        raise InputError(f"model {given} is not a model.json: it has values of wrong types")
    if loss is None and values["loss"] not in values["own_sources"]:
        raise InputError(f"model {given} has a loss that is not known here: {values['loss']!r}")
    if (
        loss is not None
        and not several
        and loss.classification != (classes is not None and len(classes) == 2)
    ):
        raise InputError(f"model {given} has classes that do not go with loss {loss.name}")
    return Model(**{name: values[name] for name in wanted}, **_beside(file.parent))


def _intercept(given: Any, several: bool) -> float | Array:
    """Of a model.json; one a class where there are several."""
    if several:
        return np.array(given, dtype=float)
    return float("nan") if given is None else float(given)


def _beside(folder: Path) -> dict[str, Any]:
    """History, metrics and configuration, as far as they are there."""
    found: dict[str, Any] = {}
    try:
        table = pd.read_csv(folder / "history.csv", float_precision="round_trip")
        found["history"] = tuple(Iteration(*row) for row in table.itertuples(index=False))
        found["metrics"] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        found["config"] = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        pass  # a model.json on its own is a model
    return found
