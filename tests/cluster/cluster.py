"""A real standalone cluster on 127.0.0.1: a master and two workers, each a process."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.jobs.submit import SPARK_HOME, environment

HOST = "127.0.0.1"


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def standalone(folder: Path, workers: int = 2) -> Iterator[str]:
    """The cluster's master URL; its processes end with the context."""
    port, page = free_port(), free_port()
    url = f"spark://{HOST}:{port}"
    package = "org.apache.spark.deploy"
    commands = [[f"{package}.master.Master", "--port", str(port), "--webui-port", str(page)]]
    for number in range(workers):
        own = ["--cores", "1", "--memory", "1g", "--webui-port", "0"]
        work = ["--work-dir", str(folder / f"work-{number}")]
        commands.append([f"{package}.worker.Worker", url, *own, *work])
    processes = []
    with (folder / "cluster.log").open("w") as log:
        try:
            for command in commands:
                spark_class = str(SPARK_HOME / "bin" / "spark-class")
                processes.append(
                    subprocess.Popen(
                        [spark_class, *command, "--host", HOST],
                        env=environment(SPARK_LOCAL_IP=HOST, SPARK_DAEMON_MEMORY="512m"),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            _wait_for(page, workers)
            yield url
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()


def _wait_for(page: int, workers: int) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with suppress(OSError, ValueError):
            with urllib.request.urlopen(f"http://{HOST}:{page}/json/", timeout=5) as answer:
                state = json.load(answer)
            if state["aliveworkers"] == workers:
                return
        time.sleep(0.5)
    raise AssertionError(f"the cluster did not bring up {workers} workers in 90 s")


def scratch_spark_home(folder: Path) -> Path:
    """SPARK_HOME by symlinks: local-cluster writes a folder `work` into it."""
    home = folder / "spark-home"
    home.mkdir()
    for entry in os.listdir(SPARK_HOME):
        if entry != "work":
            (home / entry).symlink_to(SPARK_HOME / entry)
    return home
