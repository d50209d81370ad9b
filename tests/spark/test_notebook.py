"""As a notebook uses it: Spark DataFrames in and out, and nothing left behind."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from w261reg import InputError, Model, load, train
from w261reg.blocks.store.files import PREFIX, folders
from w261reg.datasets import later
from w261reg.session import session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark


def pandas_frame() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(90, 3))
    y = x @ [1.0, -1.0, 0.0] + generator.logistic(size=90) > 0
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(kind=np.where(y, "ham", "spam"))


@pytest.fixture(scope="module")
def frame(spark: "SparkSession") -> "DataFrame":
    return spark.createDataFrame(pandas_frame()).repartition(3).cache()


@pytest.fixture(scope="module")
def model(frame: "DataFrame") -> Model:
    return train(frame, label="kind", positive="spam", loss="bxe", reg_param=0.05)


def test_model_shows_itself(model: Model) -> None:
    table = model.coefficients
    assert list(table.index) == ["a", "b", "c"]
    np.testing.assert_array_equal(table["coefficient"], model.weights)
    sd = pandas_frame()[["a", "b", "c"]].std(ddof=1)
    np.testing.assert_allclose(table["standardized"], model.weights * sd, rtol=1e-12)
    assert "Logistic regression of kind on 3 features" in repr(model)
    assert "Converged" in repr(model)
    shown = model._repr_html_()
    assert shown.count("<img") >= 2
    assert "src='data:image/png;base64,iVBOR" in shown
    assert "Logistic regression of kind" in shown


def test_predictions_are_columns_and_lazy(
    spark: "SparkSession", model: Model, frame: "DataFrame"
) -> None:
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", "lazy")
    try:
        predicted = model.predict(frame.select("kind", "c", "b", "a"))
        assert predicted.columns == ["kind", "c", "b", "a", "prediction", "probability"]
        jobs = spark.sparkContext.statusTracker().getJobIdsForGroup("lazy")
        assert list(jobs) == []
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    got = predicted.toPandas()
    z = got[["a", "b", "c"]].to_numpy() @ model.weights + model.intercept
    np.testing.assert_allclose(got.probability, 1 / (1 + np.exp(-z)), rtol=1e-13)
    assert got.prediction.tolist() == np.where(z > 0, "spam", "ham").tolist()
    # a frame of no rows, and a filter above, are frames as any other
    assert model.predict(frame.where("a > 1e9")).count() == 0
    assert predicted.where("prediction = 'spam'").count() == int((z > 0).sum())


def test_predictions_of_a_frame_with_a_null(model: Model, frame: "DataFrame") -> None:
    from pyspark.errors import PySparkException

    broken = frame.selectExpr("a", "if(b > 1, null, b) as b", "c")
    with pytest.raises(PySparkException, match="feature column 'b' has"):
        model.predict(broken).collect()
    with pytest.raises(InputError, match="'b' of the model is not in the data"):
        model.predict(frame.drop("b"))
    with pytest.raises(InputError, match="already has a column 'prediction'"):
        model.predict(model.predict(frame))


def test_predictions_of_vectors(spark: "SparkSession", frame: "DataFrame") -> None:
    from pyspark.ml.feature import VectorAssembler

    vectors = VectorAssembler(inputCols=["a", "b", "c"], outputCol="v").transform(frame)
    trained = train(
        vectors.select("v", "kind"), label="kind", positive="spam", loss="bxe", reg_param=0.05
    )
    assert trained.feature_names == ("a", "b", "c")
    by_vector = trained.predict(vectors.select("v")).toPandas()["probability"]
    by_column = trained.predict(frame.select("b", "a", "c")).toPandas()["probability"]
    np.testing.assert_allclose(by_vector, by_column, rtol=1e-14)


def persisted(spark: "SparkSession") -> int:
    later.finish()
    return int(spark.sparkContext._jsc.getPersistentRDDs().size())


def packed_files(spark: "SparkSession") -> int:
    """Of any dataset, in the local directories of the executors."""
    later.finish()
    places = spark.sparkContext.parallelize([0], 1).map(lambda _: folders()).collect()[0]
    return sum(name.startswith(PREFIX) for place in places for name in os.listdir(place))


@pytest.mark.parametrize("collect", [0, 2**26])
def test_training_leaves_nothing_behind(
    spark: "SparkSession", frame: "DataFrame", tmp_path: Any, collect: int
) -> None:
    from w261reg.cli import main

    before, kept = persisted(spark), packed_files(spark)
    fit: Any = {"loss": "bxe", "reg_param": 0.05, "collect_bytes": collect}
    train(frame, label="kind", positive="spam", max_iter=1, **fit)
    assert (persisted(spark), packed_files(spark)) == (before, kept)
    with pytest.raises(InputError):  # after the first pass
        train(frame.selectExpr("a", "b > 9 as y"), label="y", **fit)
    assert (persisted(spark), packed_files(spark)) == (before, kept)
    pandas_frame().to_csv(tmp_path / "t.csv", index=False)
    model = str(tmp_path / "m")
    train(str(tmp_path / "t.csv"), label="kind", positive="ham", **fit).save(model)
    assert main(["evaluate", model, str(tmp_path / "t.csv"), "--label", "kind"]) == 0
    out = str(tmp_path / "p.csv")
    assert main(["predict", model, str(tmp_path / "t.csv"), "--out", out]) == 0
    assert main(["evaluate", model, str(tmp_path / "t.csv"), "--label", "a"]) == 2
    assert (persisted(spark), packed_files(spark)) == (before, kept)
    assert spark.sparkContext.getLocalProperty("spark.job.description") in (None, "")


def test_each_pass_says_what_it_is(
    spark: "SparkSession", frame: "DataFrame", monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    real = type(spark.sparkContext).setJobDescription

    def spy(context: Any, value: str) -> None:
        said.append(value)
        real(context, value)

    monkeypatch.setattr(type(spark.sparkContext), "setJobDescription", spy)
    fit: Any = {"positive": "spam", "loss": "bxe", "reg_param": 0.05, "solver": "newton"}
    model = train(frame, label="kind", collect_bytes=0, **fit)
    later.finish()
    *passes, release = [value for value in said if value]
    assert len(passes) == model.n_passes  # what scores the answer rides with the last
    assert passes[0] == "w261reg: read, pack, Gram matrix"
    assert all(value.startswith("w261reg: ") for value in passes)
    assert any("Hessian" in value for value in passes[1:])
    assert passes[-1].endswith("Hessian, classification scores")
    assert release == "w261reg: release"
    said.clear()
    train(frame, label="kind", **fit)  # small enough to be collected: one job
    assert [value for value in said if value] == passes[:1]
    # one's own descriptions come back afterwards
    spark.sparkContext.setJobDescription("mine")
    train(frame.select("a", "b"), label="a", loss="mse")
    assert spark.sparkContext.getLocalProperty("spark.job.description") == "mine"
    spark.sparkContext.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type]


def test_save_and_load(spark: "SparkSession", model: Model, tmp_path: Any) -> None:
    model.save(tmp_path / "m")
    back = load(tmp_path / "m")
    assert back.to_dict() == model.to_dict()
    assert back.history == model.history or str(back.history) == str(model.history)
    assert back.metrics == model.metrics
    x = pandas_frame()[["a", "b", "c"]]
    np.testing.assert_array_equal(back.predict(x.to_numpy()), model.predict(x.to_numpy()))
    np.testing.assert_array_equal(back.probability(x), model.probability(x))
    with pytest.raises(InputError, match="exists already"):
        model.save(tmp_path / "m")


def test_the_running_session_is_used_and_not_stopped(spark: "SparkSession") -> None:
    with session() as inner:
        assert inner.sparkContext is spark.sparkContext
    with session("local[2]") as inner:
        assert inner.sparkContext is spark.sparkContext
    assert spark.range(3).count() == 3
    with pytest.raises(InputError, match=r"local\[3\]"), session("local[3]"):
        pass


def test_frame_without_the_label(frame: "DataFrame") -> None:
    with pytest.raises(InputError, match="label column 'y' is not in the data"):
        train(frame, label="y", loss="bxe")
    with pytest.raises(InputError, match="label is required"):
        train(frame, loss="bxe")
    with pytest.raises(InputError, match="'kind' is not numeric"):
        train(frame, label="a", loss="mse")


def test_frame_of_nulls_and_of_no_rows(frame: "DataFrame") -> None:
    broken = frame.selectExpr("if(b > 1, null, b) as b", "a")
    count = int((pandas_frame().b > 1).sum())
    with pytest.raises(InputError, match=f"feature column 'b' has {count} null values in 90 rows"):
        train(broken, label="a", loss="mse")
    with pytest.raises(InputError, match="no rows"):
        train(frame.select("a", "b").where("a > 1e9"), label="a", loss="mse")


def test_a_session_of_another_thread_is_used_and_left_running(
    spark: "SparkSession", frame: "DataFrame"
) -> None:
    """The active session is one of a thread: one must not stop the other's Spark."""
    with ThreadPoolExecutor(1) as pool:

        def inside() -> str:
            with session() as found:
                return str(found.sparkContext.applicationId)

        assert pool.submit(inside).result() == spark.sparkContext.applicationId
    assert spark.range(3).count() == 3


def test_arrays_beside_a_table_are_refused(frame: "DataFrame") -> None:
    for data in (frame, pandas_frame()):
        with pytest.raises(InputError, match="weight must be a column's name"):
            train(data, label="kind", weight=np.ones(90), loss="bxe", positive="spam")
        with pytest.raises(InputError, match="label must be a column's name"):
            train(data, label=np.ones(90), loss="bxe")
