"""Labels of several classes: found by a pass over the label alone, and packed as codes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from tests.sources.helpers import libsvm_line, write_csv, write_parquet
from w261reg.aggregators import Summarise
from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.checks import MOST_FRACTIONS, check_summary
from w261reg.config import Settings
from w261reg.errors import InputError
from w261reg.losses import get_loss
from w261reg.opening import open_training

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 90
RNG = np.random.default_rng(3)
X = np.round(RNG.normal(size=(ROWS, 3)), 3)
CODES = np.concatenate([np.arange(3), RNG.integers(0, 3, ROWS - 3)])
WORDS = np.array(["ant", "bee", "cat"])[CODES]
NUMBERS = np.array([-7, 2, 10])[CODES]


class Labels(Aggregator[list[NDArray[np.float64]]]):
    """y of every row, in order."""

    def zero(self) -> list[NDArray[np.float64]]:
        return []

    def add(self, state: list[NDArray[np.float64]], block: Block) -> list[NDArray[np.float64]]:
        return [*state, block.y.copy()]

    def merge(
        self, left: list[NDArray[np.float64]], right: list[NDArray[np.float64]]
    ) -> list[NDArray[np.float64]]:
        return left + right


def opened(data: Any, label: Any, weight: Any = None, **more: Any) -> tuple[Any, list[float], int]:
    """(classes, codes of the rows, passes that finding the classes took)."""
    names = {
        "data": str(data) if isinstance(data, Path) else "",
        "label": label if isinstance(label, str) else None,
        "weight": weight if isinstance(weight, str) else None,
    }
    settings = Settings.of({**names, "loss": "cxe", **more}).checked()
    given = str(data) if isinstance(data, Path) else data
    with open_training(given, label, weight, settings) as there:
        took = there.dataset.passes
        y = np.concatenate(there.dataset.aggregate(Labels())).tolist()
        summary = there.dataset.aggregate(Summarise(there.dataset.n_features, gram=False))
        classes = check_summary(summary, there.columns, get_loss("cxe"))
        assert classes == list(there.columns.levels or ())
        assert list(summary.census.labels) == classes
        assert sum(summary.census.labels.values()) == len(y)
    return classes, y, took


def typed(classes: list[Any]) -> list[tuple[type, Any]]:
    return [(type(value), value) for value in classes]


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (WORDS, ["ant", "bee", "cat"]),
        (NUMBERS, [-7, 2, 10]),
        (NUMBERS.astype(np.float32), [-7, 2, 10]),
        (NUMBERS.astype(np.int8), [-7, 2, 10]),
        (np.array([2**62, 2**62 + 1, 2**62 + 2])[CODES], [2**62, 2**62 + 1, 2**62 + 2]),
        (np.array([-0.5, -0.0, 1.5])[CODES], [-0.5, 0, 1.5]),
        (np.array(["10", "9", "A"])[CODES], ["10", "9", "A"]),
    ],
    ids=["text", "int64", "float32", "int8", "large", "fractions", "digits"],
)
@pytest.mark.parametrize("form", ["matrix", "pandas", "arrow"])
def test_codes_are_those_of_the_sorted_values(form: str, label: Any, classes: list[Any]) -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=label)
    if form == "matrix":
        found = opened(X, label)
    elif form == "pandas":
        found = opened(frame, "y")
    else:
        found = opened(pa.Table.from_pandas(frame), "y")
    assert typed(found[0]) == typed(classes)
    assert found[1] == CODES.tolist()
    assert found[2] == 1


def test_truth_values_and_categories() -> None:
    truth = CODES > 0
    classes, y, _ = opened(X, truth)
    assert typed(classes) == [(bool, False), (bool, True)]
    assert y == truth.astype(float).tolist()
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=pd.Categorical(WORDS))
    classes, y, _ = opened(frame, "y", storage="float32")
    assert classes == ["ant", "bee", "cat"]
    assert y == CODES.tolist()


def test_rows_without_weight_have_no_class() -> None:
    weight = np.where(CODES == 1, 0.0, 2.0)
    classes, y, _ = opened(X, WORDS, weight)
    assert classes == ["ant", "cat"]
    assert y == (CODES[CODES != 1] / 2).tolist()


# --- every source -------------------------------------------------------------------------------


def _csv(folder: Path, frame: pd.DataFrame) -> Path:
    return write_csv(folder / "t.csv", frame)


def _parquet(folder: Path, frame: pd.DataFrame) -> Path:
    return write_parquet(folder / "t.parquet", frame, row_group_size=40)


def _partitioned(folder: Path, frame: pd.DataFrame) -> Path:
    for value, own in frame.groupby("label"):
        (folder / "p" / f"label={value}").mkdir(parents=True)
        write_parquet(folder / "p" / f"label={value}" / "t.parquet", own.drop(columns="label"))
    return folder / "p"


def _libsvm(folder: Path, frame: pd.DataFrame) -> Path:
    rows = zip(frame["label"], frame[["a", "b", "c"]].to_numpy(), strict=True)
    (folder / "t.libsvm").write_text("\n".join(libsvm_line(y, x) for y, x in rows) + "\n")
    return folder / "t.libsvm"


Write = Callable[[Path, pd.DataFrame], Path]


@pytest.mark.spark
@pytest.mark.parametrize(
    ("write", "words"),
    [(_csv, False), (_csv, True), (_parquet, False), (_parquet, True), (_libsvm, False)],
)
def test_paths(write: Write, words: bool, spark: "SparkSession", tmp_path: Path) -> None:
    label = WORDS if words else NUMBERS
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(label=label)
    classes, y, took = opened(write(tmp_path, frame), "label")
    assert typed(classes) == typed(["ant", "bee", "cat"] if words else [-7, 2, 10])
    assert y == CODES.tolist()
    assert took == (2 if write is _libsvm else 1)  # which has its width found by another


@pytest.mark.spark
def test_a_partitioned_folder_by_its_label(spark: "SparkSession", tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(label=WORDS)
    classes, y, _ = opened(_partitioned(tmp_path, frame), "label")
    assert classes == ["ant", "bee", "cat"]
    assert y == sorted(CODES.tolist())


@pytest.mark.spark
def test_a_spark_frame(spark: "SparkSession") -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=WORDS, n=NUMBERS, w=CODES)
    there = spark.createDataFrame(frame).repartition(3)
    classes, y, took = opened(there.drop("n", "w"), "y")
    assert (classes, took) == (["ant", "bee", "cat"], 1)
    assert sorted(y) == sorted(CODES.tolist())
    classes, y, _ = opened(there.drop("y"), "n", "w")  # the first class has weight 0
    assert typed(classes) == typed([2, 10])
    assert sorted(y) == sorted((CODES[CODES > 0] - 1).tolist())


# --- what is no label of classes ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (np.full(ROWS, "ant"), "label column 'label' has one class only: ant; loss cxe needs two"),
        (np.full(ROWS, 3.0), "has one class only: 3; loss cxe needs two or more"),
        (RNG.normal(size=ROWS), "has 90 values with fractions, such as -"),
        ([None, *WORDS[1:]], "label column 'label' has 1 null value in 90 rows"),
        (np.where(CODES == 0, np.nan, CODES), "label column 'label' has .* NaN values in 90 rows"),
        (np.array(["2020-01-01"] * ROWS, dtype="datetime64[D]"), "must be text or numbers, not da"),
    ],
    ids=["one", "constant", "quantity", "null", "NaN", "dates"],
)
def test_refused(label: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        opened(X, label)


def test_at_most_a_thousand_classes() -> None:
    rows = 1_001
    x = np.ones((2 * rows, 1))
    classes, y, _ = opened(x[:1_000], np.arange(1_000)[::-1])
    assert classes == list(range(1_000))
    assert y == list(range(1_000))[::-1]
    for label in (np.arange(2 * rows) % rows, (np.arange(2 * rows) % rows).astype(str)):
        with pytest.raises(InputError, match="has more than 1,000 values; loss cxe takes up to"):
            opened(x, label)


def test_a_few_fractions_are_classes() -> None:
    label = np.arange(60) % MOST_FRACTIONS + 0.5
    assert len(opened(np.ones((60, 1)), label)[0]) == MOST_FRACTIONS


def test_positive_goes_with_two_classes() -> None:
    with pytest.raises(InputError, match="positive is for a loss of two classes, not cxe"):
        opened(X, WORDS, positive="ant")
