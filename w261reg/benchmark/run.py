"""The run step: problems x engines x repeats, each in a fresh process; results.csv row by row."""

import json
import logging
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from w261reg.benchmark.calibration import CALIBRATION, Calibration, calibrate
from w261reg.benchmark.engines import Engine
from w261reg.benchmark.launch import Launcher
from w261reg.benchmark.machine import machine
from w261reg.benchmark.plan import Plan
from w261reg.benchmark.problems import PROBLEMS, Posed
from w261reg.benchmark.records import Records
from w261reg.benchmark.scoring import Moments, objective, posed
from w261reg.benchmark.tables import TABLES
from w261reg.errors import ComputeError

log = logging.getLogger("w261reg")
RESULTS, MICRO = "results.csv", "micro.csv"
MICRO_COLUMNS = ("kernel", "value", "unit", "about")
COLUMNS = (
    "problem", "engine", "temperature", "repeat", "seconds", "objective", "gap", "reached",
    "iterations", "passes", "status", "peak_mb", "tol", "error", "rows", "features", "nnz",
    "versions", "cores", "memory_gb", "cpu", "os", "master",
)  # fmt: skip


def run(plan: Plan, out: Path) -> Path:
    """Measure what is not yet in `out`; returns results.csv.

    Raises:
        ComputeError: no problem could be measured.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = Records(out / RESULTS, COLUMNS)
    launcher = Launcher(plan, out)
    engines = _available(plan)
    measured = 0
    for name in plan.problems:
        problem = PROBLEMS[name]
        table = TABLES[problem.table]()
        why = table.missing(plan.making)
        if why:
            log.info("%s is left out: %s", name, why)
            continue
        log.info("%s: table %s, scale %g", name, table.about, plan.making.scale)
        path = table.make(Path(plan.data), plan.making)
        measured += 1
        _Measuring(plan, launcher, results, *posed(problem, path)).all(engines, out / CALIBRATION)
    if not measured:
        raise ComputeError("no problem could be measured: the tables of all are missing")
    if plan.micro:
        _micro(launcher, out, plan.data)
    return results.path


def _available(plan: Plan) -> list[Engine]:
    found = []
    for engine in plan.made_engines():
        why = engine.available()
        if why:
            log.info("%s is left out: %s", engine.full_name, why)
        else:
            found.append(engine)
    if not found:
        raise ComputeError("no engine is available")
    return found


class _Measuring:
    """One problem: calibration, then repeats in alternation."""

    def __init__(
        self, plan: Plan, launcher: Launcher, results: Records, problem: Posed, moments: Moments
    ) -> None:
        self.plan, self.launcher, self.results = plan, launcher, results
        self.problem, self.moments = problem, moments
        self.scores: dict[tuple[bytes, float], float] = {}

    def all(self, engines: list[Engine], calibration_path: Path) -> None:
        supported = []
        for engine in engines:
            why = engine.supports(self.problem)
            if why:
                log.info("%s: %s is left out: %s", self.problem.name, engine.full_name, why)
            else:
                supported.append(engine)
        calibration = calibrate(
            self.launcher, self.problem, self.moments, supported, calibration_path
        )
        for repeat in range(self.plan.repeats):
            for engine in supported:
                key = {"problem": self.problem.name, "engine": engine.full_name}
                if not self.results.has(**key, repeat=repeat):
                    self._one(engine, repeat, calibration)

    def _one(self, engine: Engine, repeat: int, calibration: Calibration) -> None:
        chosen = calibration.of(engine.full_name)
        if chosen.tol is None:  # it gave no answer at any tolerance
            self._record(engine, repeat, calibration, {}, {"error": chosen.error})
            return
        versions, lines = self.launcher.fits(
            engine, self.problem, [chosen.tol], f"{engine.full_name}-{repeat}"
        )
        rows = [self._record(engine, repeat, calibration, versions, line) for line in lines]
        log.info(
            "%s, repeat %d, %s: %s", self.problem.name, repeat + 1, engine.full_name,
            ", ".join(row["error"] or f"{row['temperature']} {row['seconds']:.2f} s"
                      for row in rows),
        )  # fmt: skip

    def _record(
        self,
        engine: Engine,
        repeat: int,
        calibration: Calibration,
        versions: dict[str, str],
        line: dict[str, Any],
    ) -> dict[str, Any]:
        row = {
            **{key: line.get(key) for key in COLUMNS},
            "problem": self.problem.name,
            "engine": engine.full_name,
            "repeat": repeat,
            "temperature": line.get("temperature", "cold"),
            "error": line.get("error", ""),
            "rows": self.problem.rows,
            "features": self.problem.width,
            "nnz": self.problem.nnz,
            "versions": json.dumps(versions),
            **machine(),
            "master": self.launcher.options.master or "" if engine.spark else "",
        }
        if "w" in line:
            row["objective"] = value = self._score(line)
            row["gap"] = calibration.gap(value)
            row["reached"] = calibration.reached(value)
        self.results.append(row)
        return row

    def _score(self, line: dict[str, Any]) -> float:
        w = np.array(line["w"])
        key = (w.tobytes(), line["intercept"])
        if key not in self.scores:  # most engines give the same bits each time
            self.scores[key] = objective(self.problem, self.moments.sd, w, line["intercept"])
        return self.scores[key]


def _micro(launcher: Launcher, out: Path, data: str) -> None:
    path = out / MICRO
    if path.exists():
        return
    records = Records(path, MICRO_COLUMNS)
    for line in launcher.lines({"micro": {"folder": data}}, {}, "micro"):
        if "error" in line:
            log.warning("the kernels' rates could not be measured: %s", line["error"])
            return
        records.append(line)


def write_plan(plan: Plan, out: Path) -> None:
    """benchmark.json beside the results, by a rename."""
    out.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=out, prefix=".plan-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(plan), file, indent=2)
    os.replace(partial, out / "benchmark.json")
