"""Data, fits and bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w261reg.aggregators import (
    ClassificationScores,
    Evaluate,
    LocalSteps,
    Several,
    Summarise,
    Triangular,
)
from w261reg.blocks.store import Packed
from w261reg.config import Settings
from w261reg.datasets import Dataset
from w261reg.datasets.recipe import Recipe
from w261reg.datasets.tree import Leaf
from w261reg.fitting import fit
from w261reg.losses import get_loss
from w261reg.model import Model
from w261reg.opening import source_columns
from w261reg.sources import Columns, open_path

Array = NDArray[np.float64]


def table(rows: int = 300, n: int = 5, seed: int = 3) -> tuple[Array, Array, Array]:
    """Features (m, n) of several scales, half of them 0; labels in {0, 1}; a real response."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, n)) * 10.0 ** np.linspace(-1, 1, n) + np.linspace(0, 2, n)
    x[generator.random(x.shape) < 0.5] = 0.0
    z = (x / 10.0 ** np.linspace(-1, 1, n)) @ np.linspace(1, -1, n) + generator.logistic(size=rows)
    return x, (z > 0).astype(float), z + generator.normal(size=rows)


def write_dense(folder: Path, classes: bool) -> Path:
    """Parquet, in three row groups."""
    x, y, response = table()
    columns = {f"x{j}": x[:, j] for j in range(x.shape[1])}
    pq.write_table(
        pa.table({**columns, "label": y if classes else response}),
        folder / "t.parquet",
        row_group_size=120,
    )
    return folder / "t.parquet"


def write_sparse(folder: Path, classes: bool) -> Path:
    """LIBSVM."""
    x, y, response = table()
    with (folder / "t.libsvm").open("w") as file:
        for label, row in zip((y if classes else response).tolist(), x.tolist(), strict=True):
            pairs = " ".join(f"{j + 1}:{v!r}" for j, v in enumerate(row) if v)
            file.write(f"{label!r} {pairs}\n")
    return folder / "t.libsvm"


def settings_of(path: Path, **given: Any) -> tuple[Settings, Columns]:
    settings = Settings.of({"data": str(path), "label": "label", **given}).checked()
    return settings, source_columns(open_path(str(path)), settings)


def fit_on(dataset: Dataset, settings: Settings, columns: Columns) -> Model:
    try:
        return fit(settings, dataset, columns, None, 0.0).model
    finally:
        dataset.release()


def leaves_of(dataset: Any) -> list[Leaf]:
    """What a dataset on Spark reads from its source, carried to the driver and not kept there."""
    recipe = Recipe(None, keep=True, carry=float("inf"))
    items: list[Packed] = dataset.reading(recipe).collect()
    return [leaf for item in items for leaf in item.leaves()]


def everything(n: int) -> Several:
    """All that a pass may compute, at odd coefficients."""
    w, centre = np.linspace(-0.3, 0.4, n), np.linspace(0.1, 1.1, n)
    loss = get_loss("bxe")
    return Several(
        Summarise(n, gram=True),
        Summarise(n, gram=False),
        Evaluate(loss, w[:, None], np.array([0.2]), centre, 2),
        Evaluate(loss, np.column_stack([w, -w]), np.array([0.2, 0.1]), centre, 1),
        Triangular(centre, np.ones(n), 0.3),
        ClassificationScores(loss, w, 0.2),
        LocalSteps(
            get_loss("hinge"),
            w,
            0.2,
            centre,
            scale=np.ones(n),
            l2=0.1,
            radius=4.0,
            size=10.0,
            fit_intercept=True,
            round=1,
        ),
    )


def bits(value: Any) -> Any:
    """What must be equal for two results to be the same to the last bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, dict):
        return {key: bits(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [bits(entry) for entry in value]
    if hasattr(value, "__dict__"):
        return {key: bits(entry) for key, entry in vars(value).items()}
    return value


def model_bits(model: Model) -> Any:
    """Coefficients, scores and the whole history, without the times."""
    history = [(i.objective, i.residual, i.step, i.passes) for i in model.history]
    return bits([model.weights, model.intercept, model.objective, model.metrics, history])
