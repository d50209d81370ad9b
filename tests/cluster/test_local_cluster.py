"""The same bits in 20 runs on executors that are processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.cluster import scratch_spark_home
from tests.jobs.submit import ROOT, environment

pytestmark = [pytest.mark.spark, pytest.mark.cluster]

SCRIPT = """
import sys
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from w261reg.config import Settings
from w261reg.fitting import fit
from w261reg.session import session
from w261reg.sources import open_path
from w261reg.sources.packing import local_dataset, spark_dataset
from w261reg.opening import source_columns

folder = sys.argv[1]
rng = np.random.default_rng(5)
x = rng.normal(size=(23_000, 7)) * 10.0 ** np.arange(-3, 4)
z = x @ (rng.normal(size=7) / 10.0 ** np.arange(-3, 4))
y = (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(float)
names = [f"x{j}" for j in range(7)]
table = pa.table({**{n: x[:, j] for j, n in enumerate(names)}, "y": y})
path = folder + "/table.parquet"
pq.write_table(table, path, row_group_size=1000)  # 23 leaves

def bits(dataset, settings, columns):
    model = fit(settings, dataset, columns, None, 0.0).model
    dataset.release()
    return model.weights.tobytes() + np.float64(model.intercept).tobytes()

source = open_path(path)
for loss, mix in (("bxe", 0.0), ("bxe", 1.0), ("mse", 0.5)):
    given = Settings(data=path, label="y", loss=loss, reg_param=0.01, elastic_net_param=mix)
    settings = given.checked()
    columns = source_columns(source, settings)
    expected = bits(local_dataset(source, columns), settings, columns)
    with session("local-cluster[2,1,1024]") as spark:
        seen = {
            bits(spark_dataset(spark.sparkContext, source, columns, tasks), settings, columns)
            for tasks in [2, 3, 5, 7, 23] * 4
        }
    assert seen == {expected}, (loss, mix, len(seen))
    print(loss, mix, "same bits in 20 runs")
"""


def test_twenty_runs_give_the_bits_of_one_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = environment(PYTHONPATH=str(ROOT), SPARK_LOCAL_IP="127.0.0.1")
    env["SPARK_HOME"] = str(scratch_spark_home(tmp_path))
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("same bits in 20 runs") == 3
