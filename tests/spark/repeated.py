"""Tasks that fail and lose their blocks with it, on a Spark that starts them once more.

Run as a process: `python repeated.py FOLDER`. The last line that it prints is JSON: what came of
each trial. The tests are in test_failures.py.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

import w261reg.sources.memory
from w261reg.aggregators.base import Aggregator
from w261reg.blocks import Block
from w261reg.blocks.store.files import PREFIX, folders
from w261reg.errors import ComputeError
from w261reg.session import session
from w261reg.sources import Columns, array_source
from w261reg.sources.packing import spark_dataset

ROWS, TASKS, FAILING = 48, 6, 3
TRIALS = [(how, depth) for how in ("raises", "exits", "raises once") for depth in (1, 2)]


class Tracing(Aggregator[str]):
    """The order in which labels are added and merged; fails at the first block of a partition.

    What was packed of it goes first: as for a task that is repeated on another machine.
    """

    name = "a trace"

    def __init__(self, token: str, how: str, marker: str) -> None:
        self.token, self.how, self.marker = token, how, marker

    def zero(self) -> str:
        return ""

    def add(self, state: str, block: Block) -> str:
        if self.how and block.y[0] == ROWS // TASKS * FAILING:
            self.fail()
        return f"{state}{block.y.tolist()}"

    def merge(self, left: str, right: str) -> str:
        return f"({left} {right})"

    def fail(self) -> None:
        for place in folders():
            for path in Path(place).glob(f"{PREFIX}{self.token}-{FAILING}-*"):
                path.unlink()
        with open(self.marker, "a") as told:
            told.write("x")
        if self.how == "exits":
            os._exit(3)
        if self.how == "raises" or os.path.getsize(self.marker) == 1:
            raise ValueError("this partition cannot be computed")


def trial(context: Any, how: str, depth: int, folder: Path) -> dict[str, Any]:
    """What came of a second pass in which a task fails."""
    marker = folder / f"{how}-{depth}"
    source, _, _ = array_source(np.ones((ROWS, 1)), np.arange(float(ROWS)), None)
    columns = Columns(("features",), ("x",), vector=True, label="label")
    dataset: Any = spark_dataset(context, source, columns, TASKS, aggregation_depth=depth)
    well = Tracing(dataset.recipe.token, "", str(marker))
    wanted, result = dataset.aggregate(well), {}
    try:
        found = dataset.aggregate(Tracing(dataset.recipe.token, how, str(marker)))
        result["same"] = found == wanted
    except ComputeError as error:
        result["said"] = str(error)
    result["tries"] = len(marker.read_text())
    result["same after"] = dataset.aggregate(well) == wanted
    dataset.release()
    return result


def main(folder: Path) -> None:
    """All trials in one session, whose tasks may fail four times."""
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    w261reg.sources.memory.leaf_rows = lambda width: 4
    with session("local[2,4]") as spark:
        results = {
            f"{how}, {depth}": trial(spark.sparkContext, how, depth, folder)
            for how, depth in TRIALS
        }
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
