"""Spark DataFrames as joins, case and VectorAssembler leave them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.sources.helpers import problem
from w261reg import train
from w261reg.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark
GIVEN = problem(40).frame[["x1", "x2", "label"]]
MODEL = train(GIVEN, "label", loss="bxe", reg_param=0.1)
WANTED = MODEL.predict(GIVEN)["probability"].to_numpy()


@pytest.fixture(scope="module")
def frame(spark: "SparkSession") -> "DataFrame":
    return spark.createDataFrame(GIVEN).coalesce(1)


def vectors(frame: "DataFrame", *names: str) -> "DataFrame":
    from pyspark.ml.feature import VectorAssembler

    return VectorAssembler(inputCols=list(names), outputCol="v").transform(frame)


def check(found: Any) -> None:
    np.testing.assert_allclose(found.toPandas()["probability"], WANTED, rtol=1e-12)


def test_vectors_are_read_by_the_names_of_their_elements(frame: "DataFrame") -> None:
    named = train(vectors(frame, "x1", "x2").select("v", "label"), "label", loss="bxe",
                  reg_param=0.1)  # fmt: skip
    turned = vectors(frame, "x2", "label", "x1").select("v", "label")
    for model in (named, MODEL):
        check(model.predict(turned))
        with pytest.raises(InputError, match="'x1'"):
            model.predict(vectors(frame, "x2", "label").select("v"))


def test_a_vector_without_names_is_no_feature_of_a_model_of_columns(frame: "DataFrame") -> None:
    from pyspark.sql import functions as F

    bare = vectors(frame, "x1", "x2").select(F.col("v").alias("v", metadata={}))
    with pytest.raises(InputError, match="feature column 'x1' and 1 more"):
        MODEL.predict(bare)


def test_unused_columns_may_share_a_name_or_differ_by_case(frame: "DataFrame") -> None:
    from pyspark.sql import functions as F

    for more in (
        [F.lit(1).alias("z"), F.lit(2).alias("z")],
        [F.lit(1).alias("X1")],
        [F.current_timestamp().alias("at"), F.lit(1).alias("a.`b")],
    ):
        odd = frame.select("*", *more)
        found = MODEL.predict(odd)
        assert found.columns == [*odd.columns, "prediction", "probability"]
        check(found)
        chosen = train(odd, "label", features=["x1", "x2"], loss="bxe", reg_param=0.1)
        np.testing.assert_allclose(chosen.weights, MODEL.weights, rtol=1e-9)


def test_names_that_are_used_must_not_repeat(frame: "DataFrame") -> None:
    from pyspark.sql import functions as F

    twice = frame.select("*", F.col("x1"))
    for use in (MODEL.predict, lambda data: train(data, "label", loss="bxe")):
        with pytest.raises(InputError, match="two columns named 'x1'"):
            use(twice)


def test_predictions_need_a_free_name_whatever_its_case(frame: "DataFrame") -> None:
    taken = frame.withColumnRenamed("label", "Probability")
    with pytest.raises(InputError, match="give another name with prediction_column"):
        MODEL.predict(taken)
    assert MODEL.predict(taken, prediction_column="p").columns[-2:] == ["p", "p_probability"]


TYPES = (
    "cast('1.10' as decimal(38, 2))", "date'0001-01-01'", "timestamp'2020-01-01 00:00:00.123456'",
    "timestamp_ntz'1850-01-01 00:00:00.000001'", "X'00ff'", "array('a', null)", "true", "null",
    "named_struct('a', 1, 'b', array(date'2020-01-01'))", "array(named_struct('a', 1.10))",
    "map(array(1), map('a', X'00'))", "interval '1 02:03:04.000005' day to second",
    "cast(1 as tinyint)", "cast('NaN' as float)", "9223372036854775807", "cast('a' as char(3))",
)  # fmt: skip


def test_columns_of_any_type_pass_through(frame: "DataFrame") -> None:
    given = frame.selectExpr("*", *[f"{own} as c{j}" for j, own in enumerate(TYPES)])
    found = MODEL.predict(given)
    assert found.schema.fields[: len(given.columns)] == given.schema.fields
    names = [f"cast(c{j} as string)" for j in range(len(TYPES))]
    assert found.selectExpr(*names).collect() == given.selectExpr(*names).collect()
    check(found.select("probability"))


def test_a_type_that_arrow_lacks_is_named(frame: "DataFrame") -> None:
    odd = frame.selectExpr("*", "interval '1-2' year to month as c")
    with pytest.raises(InputError, match=r"'c' \(interval year to month\) has no form in Arrow"):
        MODEL.predict(odd)
