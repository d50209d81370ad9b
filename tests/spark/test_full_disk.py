"""A disk that is full where shares are merged in tasks: the fit goes on, to the same bits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.submit import ROOT, environment

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
