"""A pass that the driver could not take is refused before it starts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from w261reg.aggregators import Evaluate, Summarise
from w261reg.config import Settings
from w261reg.datasets.rdd import RddDataset, _bytes
from w261reg.errors import InputError
from w261reg.fitting import fit
from w261reg.losses import get_loss
from w261reg.sources import Columns, array_source
from w261reg.sources import memory as memory_module
from w261reg.sources.packing import spark_dataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark
N = 1200  # a Hessian of 11 MiB
GROUP = "refusal"


@pytest.fixture
def wide(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Seven leaves of 8 rows x N features in seven tasks, and room for 64 MiB on the driver."""
    monkeypatch.setattr(memory_module, "leaf_rows", lambda width: 8)
    generator = np.random.default_rng(5)
    y = (np.arange(56) % 2).astype(float)
    source, _, _ = array_source(generator.normal(size=(56, N)), y, None)
    dataset = spark_dataset(spark.sparkContext, source, COLUMNS, tasks=7, aggregation_depth=1)
    assert isinstance(dataset, RddDataset)
    dataset.limit = 64 * 2**20
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", GROUP)
    yield dataset
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    dataset.release()


NAMES = tuple(f"x{j}" for j in range(N))
COLUMNS = Columns(("features",), NAMES, vector=True, label="label", classes=True)


def jobs(dataset: Any) -> int:
    return len(dataset.context.statusTracker().getJobIdsForGroup(GROUP))


def evaluate(order: int) -> Evaluate:
    w = np.zeros((N, 1))
    return Evaluate(get_loss("bxe"), w, np.zeros(1), np.zeros(N), order)


def test_a_hessian_is_refused_and_a_gradient_is_not(wide: Any) -> None:
    before = jobs(wide)
    with pytest.raises(InputError) as caught:
        wide.aggregate(evaluate(2))
    assert jobs(wide) == before
    assert wide.passes == 0
    said = str(caught.value)
    assert "loss, gradient and Hessian would bring 7 shares of 11 MiB to the driver, 77 MiB" in said
    assert "over spark.driver.maxResultSize of 64 MiB" in said
    assert "\n" not in said
    wide.aggregate(evaluate(1))
    assert jobs(wide) == before + 1
    assert wide.passes == 1


def test_the_limit_is_the_limit(wide: Any) -> None:
    need = 7 * evaluate(2).nbytes()
    for limit, refused in ((need, False), (need - 1, True), (0, False)):
        wide.limit = limit
        if refused:
            with pytest.raises(InputError, match="maxResultSize"):
                wide._depth(evaluate(2))
        else:
            assert wide._depth(evaluate(2)) == 1


def test_a_second_level_of_tasks_makes_it_fit(wide: Any) -> None:
    wide.depth = None  # chosen by the size of the shares
    wide.tasks, wide.nodes, wide.last_leaf = 400, [1] * 400, 399
    wide.limit = 600 * 2**20
    assert wide._depth(evaluate(2)) == 2
    assert wide._depth(evaluate(1)) == 2  # of few bytes, but of many shares
    wide.tasks, wide.nodes = 4, [1] * 4
    assert wide._depth(evaluate(2)) == 1


def test_a_fit_is_refused_before_its_first_pass(wide: Any) -> None:
    before = jobs(wide)
    for solver, name in (("newton", "Gram matrix"), ("auto", "Gram matrix")):
        settings = Settings(loss="bxe", solver=solver, label="label", reg_param=0.1).checked()
        with pytest.raises(InputError, match=name):
            fit(settings, wide, COLUMNS, None, 0.0)
    assert jobs(wide) == before
    settings = Settings(loss="bxe", solver="gd", label="label", reg_param=0.1, max_iter=2).checked()
    assert fit(settings, wide, COLUMNS, None, 0.0).model.n_iter == 2
    assert jobs(wide) > before


@pytest.mark.parametrize(
    "make", [lambda: evaluate(0), lambda: evaluate(1), lambda: evaluate(2),
             lambda: Summarise(N, True), lambda: Summarise(N, False)]
)  # fmt: skip
def test_the_arithmetic_is_an_upper_bound_and_near(make: Any) -> None:
    import pickle

    from w261reg.datasets.local import LocalDataset
    from w261reg.sources.packing import pack

    source, _, _ = array_source(
        np.random.default_rng(5).normal(size=(20, N)), np.arange(20.0), None
    )
    leaves = pack(source, source.handles(N), 0, Columns(("features",), NAMES, True, "label"))
    state = LocalDataset(leaves, N).aggregate(make())
    size = len(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
    assert size <= make().nbytes() <= 1.5 * size + 20_000


@pytest.mark.parametrize(
    ("size", "wanted"),
    [("1g", 2**30), ("512m", 2**29), ("0", 0), ("1048576", 2**20), ("2GB", 2**31), ("64kb", 2**16),
     ("1t", 2**40), (" 1G ", 2**30), ("1GiB", 2**30), ("what", 0)],
)  # fmt: skip
def test_sizes_in_sparks_notation(size: str, wanted: int) -> None:
    assert _bytes(size) == wanted
