"""Real submissions: spark-submit as a process, the package as a zip."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyspark

ROOT = Path(__file__).resolve().parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
# marks the zip's copy of the package, so that a test sees which copy ran
MARK = "0.0.0+zip"


def zip_package(path: Path) -> Path:
    """The package as --py-files takes it, with its version marked."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((ROOT / "w261reg").rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                name = str(file.relative_to(ROOT))
                if name == "w261reg/_version.py":
                    archive.writestr(name, f'__version__ = "{MARK}"\n')
                else:
                    archive.write(file, name)
    return path


def environment(**extra: str) -> dict[str, str]:
    """This process's, with Spark found and no Python path of ours."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYSPARK_GATEWAY_PORT")}
    env.update(SPARK_HOME=str(SPARK_HOME), PYSPARK_PYTHON=sys.executable, **extra)
    return env


def submit(
    job: str,
    arguments: Sequence[str],
    *,
    master: str,
    folder: Path,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """spark-submit of jobs/`job`.py from `folder`, which is not the project's."""
    command = [
        str(SPARK_HOME / "bin" / "spark-submit"),
        "--master",
        master,
        "--conf",
        f"spark.driver.extraJavaOptions=-Dlog4j2.configurationFile={ROOT}/conf/log4j2.properties",
        "--conf",
        "spark.ui.enabled=false",
        *options,
        str(ROOT / "jobs" / f"{job}.py"),
        *arguments,
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(env or environment()),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def read_model(folder: Path) -> dict[str, Any]:
    """model.json of a result folder."""
    document: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return document
