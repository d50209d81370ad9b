"""A disk that is full where shares are merged in tasks: the fit goes on, to the same bits.

And one that is gone: Spark itself rarely goes on, which is one line.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import moments
from tests.cli.moments import LONG, Running, a_table
from tests.jobs.submit import ROOT, environment
from w261reg import load

pytestmark = [pytest.mark.spark, pytest.mark.long]
# a disk of its own for a process and its children, without privileges
SMALL = 'mount -t tmpfs -o size=4m tmpfs "$SPARK_LOCAL_DIRS" && exec "$@"'


def test_merging_in_tasks_gives_way(tmp_path: Path) -> None:
    for name in ("disk", "table"):
        (tmp_path / name).mkdir()
    env = environment(PYTHONPATH=str(ROOT), SPARK_LOCAL_DIRS=str(tmp_path / "disk"))
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    small = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL, "sh"]
    if subprocess.run([*small, "true"], env=env, capture_output=True, check=False).returncode:
        pytest.skip("needs a mount of its own")
    done = subprocess.run(
        [*small, sys.executable, str(ROOT / "tests/spark/filling.py"), str(tmp_path / "table")],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for depth in ("3", "1"):
        assert found[depth]["status"] == "converged"
        assert found[depth]["same"], depth
    assert found["3"]["most"] == 1
    assert [text for text in found["3"]["warned"] if "going on with 1" in text]


@pytest.mark.parametrize(("what", "depth"), [("blockmgr-*", "1"), ("blockmgr-*", "3"), ("*", "1")])
def test_a_local_folder_that_vanishes(tmp_path: Path, what: str, depth: str) -> None:
    """As where somebody clears /tmp while a fit runs."""
    (tmp_path / "results").mkdir()
    given = [*LONG, "--aggregation-depth", depth, "--out", "results/r"]
    running = Running(tmp_path, ["train", a_table(tmp_path), *given])
    assert running.wait_until(moments.solves), running.err.read_text()
    for path in running.temporary.glob(f"w261reg-*/{what}"):
        shutil.rmtree(path, ignore_errors=True)
    ended = running.end()
    results = [path.name for path in (tmp_path / "results").iterdir()]
    errors = [line for line in ended.err.splitlines() if line.startswith("w261reg: error: ")]
    if ended.code == 0:  # Spark made its folders anew in time, and what was lost is packed again
        assert (results, errors) == (["r"], [])
        assert load(tmp_path / "results" / "r").status == "converged"
    else:
        assert (results, len(errors)) == ([], 1), ended.err
        says = r"failed on Spark: no such file or folder in /\S+, where Spark"
        assert re.search(says, errors[0]), ended.err
    assert ended.code in (0, 1)
    assert "Traceback" not in ended.err
    assert ended.processes == ended.temporary == []
