"""Starts the worker of one engine and reads what it wrote."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from w261reg.benchmark.engines import Engine, Options
from w261reg.benchmark.machine import memory_gb
from w261reg.benchmark.plan import Plan
from w261reg.benchmark.problems import Posed
from w261reg.benchmark.processes import run_python
from w261reg.session import DEFAULT_MASTER

# what belongs to one application, or to the way it was submitted
_NOT_PASSED_ON = ("spark.app.", "spark.submit.deployMode", "spark.master", "spark.driver.host",
                  "spark.driver.port")  # fmt: skip


class Launcher:
    """Runs workers with the plan's options; their output goes to `out`/logs."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self.options = _with_submitted(plan.options)
        self.timeout = plan.timeout
        self.logs = out / "logs"
        self.logs.mkdir(exist_ok=True)

    def fits(
        self,
        engine: Engine,
        problem: Posed,
        tolerances: Sequence[float],
        name: str,
        **more: Any,
    ) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """(versions, a line a fit): see worker.py for `more` and for what a line holds."""
        spec = {
            "engine": engine.full_name,
            "problem": asdict(problem),
            "tolerances": list(tolerances),
            "fits": engine.fits,
            **more,
        }
        conf = {**self.options.conf, **engine.conf()} if engine.spark else {}
        lines = self.lines(spec, engine.environment(), f"{problem.name}-{name}", conf)
        versions = [line["versions"] for line in lines if "versions" in line]
        fits = [line for line in lines if "versions" not in line]
        return (versions or [{}])[0], fits

    def lines(
        self,
        spec: dict[str, Any],
        environment: Mapping[str, str],
        name: str,
        conf: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """What the worker wrote, with a last line of its error where it failed."""
        conf = self.options.conf if conf is None else conf
        stem = self.logs / name.replace(":", "-")
        spec_path, out_path = (
            stem.with_name(f"{stem.name}.json"),
            stem.with_name(f"{stem.name}.jsonl"),
        )
        out_path.unlink(missing_ok=True)
        spec_path.write_text(
            json.dumps({**spec, "options": asdict(self.options)}), encoding="utf-8"
        )
        pairs = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
        submit = {"PYSPARK_SUBMIT_ARGS": shlex.join([*pairs, "pyspark-shell"])}
        log = stem.with_name(f"{stem.name}.txt")
        why = run_python(
            "w261reg.benchmark.worker",
            [str(spec_path), str(out_path)],
            {**submit, **environment},
            log,
            self.timeout,
        )
        text = out_path.read_text(encoding="utf-8") if out_path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if why:
            lines.append({"error": why})
        elif not any("error" in line for line in lines):
            log.unlink()
        for used in (spec_path, out_path):  # coefficients of wide problems are large
            used.unlink(missing_ok=True)
        return lines


def _with_submitted(options: Options) -> Options:
    """The options with spark-submit's master and properties, if this is such a job.

    A local JVM gets half of the machine's memory unless that is set: its own default of 1 GB would
    make every engine on it read from the disk.
    """
    conf: dict[str, str] = {}
    master = options.master
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        from pyspark import SparkConf, SparkContext

        SparkContext._ensure_initialized()
        found = dict(SparkConf().getAll())
        master = master or found.get("spark.master")
        conf = {k: v for k, v in found.items() if not k.startswith(_NOT_PASSED_ON)}
    master = master or os.environ.get("MASTER") or DEFAULT_MASTER
    conf.update(options.conf)
    if master.startswith("local"):
        conf.setdefault("spark.driver.memory", f"{max(1, int(memory_gb() / 2))}g")
    return replace(options, master=master, conf=conf)
