"""Fits whose executors' disk is full from the third pass on; prints what came of them."""

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.spark.helpers import model_bits, settings_of, write_dense
from w261reg.fitting import fit
from w261reg.session import session
from w261reg.sources import open_path
from w261reg.sources.packing import local_dataset, spark_dataset


def fill(disk: Path) -> None:
    """Until not a byte has room."""
    file = os.open(disk / "all", os.O_CREAT | os.O_WRONLY)
    for size in (2**16, 1):
        with suppress(OSError):
            while True:
                os.write(file, b"0" * size)
    os.close(file)


def main(folder: Path) -> None:
    warned: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warned.append(record.getMessage())  # type: ignore[method-assign]
    handler.setLevel(logging.WARNING)
    logging.getLogger("w261reg").addHandler(handler)
    path = write_dense(folder, True)
    settings, columns = settings_of(path, loss="bxe", reg_param=0.01, solver="newton")
    source = open_path(str(path))
    wanted = model_bits(fit(settings, local_dataset(source, columns), columns, None, 0.0).model)
    result: dict[str, Any] = {}
    with session("local[2,2]") as spark:
        for depth in (3, 1):
            dataset: Any = spark_dataset(
                spark.sparkContext, source, columns, 3, aggregation_depth=depth
            )
            run = dataset._run

            def disturbed(aggregator: Any, keep: bool, run: Any = run, own: Any = dataset) -> Any:
                if own.passes == 2:
                    fill(Path(os.environ["SPARK_LOCAL_DIRS"]))
                return run(aggregator, keep)

            dataset._run = disturbed
            warned.clear()
            model = fit(settings, dataset, columns, None, 0.0).model
            dataset.release()
            result[str(depth)] = {
                "same": model_bits(model) == wanted,
                "status": model.status,
                "warned": list(warned),
                "most": dataset.most_depth,
            }
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
