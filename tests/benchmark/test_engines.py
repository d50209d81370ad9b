"""Every engine that is here solves the same problem: the canonical one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmark.helpers import tiny
from w261reg import train
from w261reg.benchmark.engines import ENGINES, Engine, engine_names, get_engine
from w261reg.benchmark.engines.base import Options
from w261reg.benchmark.engines.pyspark_native import PySparkNative
from w261reg.benchmark.reading import read_matrix
from w261reg.benchmark.scoring import objective
from w261reg.errors import InputError
from w261reg.solvers import SOLVERS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# (table, loss, l1, l2, standardization)
CASES = {
    "bxe l2": ("dense", "bxe", 0.0, 1e-2, True),
    "bxe l1": ("dense", "bxe", 1e-2, 0.0, True),
    "bxe l1 raw": ("sparse", "bxe", 1e-2, 0.0, False),
    "mse l2": ("dense", "mse", 0.0, 1e-1, True),
    "mse l1": ("sparse", "mse", 5e-2, 0.0, True),
}
ONE_PROCESS = ["glum", "sklearn", "sklearn:lbfgs", "sklearn:newton-cholesky", "sklearn:saga"]
# native BLAS needs options of the JVM; variants of ours are the solvers, which have their own tests
ON_SPARK = [n for n in engine_names(usual=True) if n.split(":")[0] in ("w261reg", "pyspark")]


def gap(engine: Engine, case: tuple[str, str, float, float, bool], folder: Path) -> float | None:
    """Above the optimum, relative, at the engine's tightest tolerance but one."""
    _, loss, l1, l2, standardization = case
    problem, found = tiny(folder, loss, l1, l2, standardization=standardization)
    if engine.supports(problem):
        return None
    x, y = read_matrix(problem)
    best = train(
        x, y, loss=loss, reg_param=l1 + l2, elastic_net_param=l1 / (l1 + l2), tol=1e-12,
        convention="canonical", standardization=standardization,
    ).objective  # fmt: skip
    answer = engine.fit(problem, engine.tolerances[-2])
    return objective(problem, found.sd, answer.w, answer.intercept) / best - 1


def check(name: str, request: pytest.FixtureRequest) -> None:
    engine = get_engine(name, Options())
    engine.start()
    solved = 0
    try:
        for title, case in CASES.items():
            value = gap(engine, case, request.getfixturevalue(case[0]))
            if value is not None:
                solved += 1
                assert abs(value) < 1e-8, title
        assert engine.versions()
    finally:
        engine.stop()
    assert solved


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ONE_PROCESS)
def test_one_process(name: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip(ENGINES[name.split(":")[0]].packages[0])
    check(name, request)


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ON_SPARK)
def test_on_spark(name: str, spark: "SparkSession", request: pytest.FixtureRequest) -> None:
    check(name, request)
    assert spark.range(3).count() == 3  # it is not the engine's to stop


def test_names() -> None:
    names = engine_names()
    assert {f"w261reg:{solver}" for solver in SOLVERS} <= set(names)
    assert set(engine_names(usual=True)) <= set(names)
    for name in names:
        assert get_engine(name).full_name == name
    with pytest.raises(InputError, match=r"engines must be of .*'sklearn:svd'"):
        get_engine("sklearn:svd")


@pytest.mark.parametrize("given", ["nothing.so", __file__])
def test_a_blas_that_does_not_load_is_said(given: str, tmp_path: Path) -> None:
    path = tmp_path / given if given.endswith(".so") else Path(given)
    engine = PySparkNative("", Options(blas=str(path)))
    assert str(path) in engine.available()


def test_native_blas_reaches_the_jvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JDK_JAVA_OPTIONS", raising=False)
    given: Any = {"spark.executor.extraJavaOptions": "-Xss4m"}
    engine = PySparkNative("", Options(blas="/lib/libblas.so", conf=given))
    option = "-Ddev.ludovic.netlib.blas.nativeLibPath=/lib/libblas.so"
    assert engine.environment()["JDK_JAVA_OPTIONS"] == option
    assert engine.conf() == {"spark.executor.extraJavaOptions": f"-Xss4m {option}"}
