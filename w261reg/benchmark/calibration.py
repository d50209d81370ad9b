"""Which tolerance of an engine gives the accuracy that all must have: untimed, before the run."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from w261reg.benchmark.engines import Engine, get_engine
from w261reg.benchmark.launch import Launcher
from w261reg.benchmark.problems import Posed
from w261reg.benchmark.records import Records
from w261reg.benchmark.scoring import Moments

log = logging.getLogger("w261reg")
WITHIN: Final = 1e-8  # of the objective, above the best
CALIBRATION: Final = "calibration.csv"
REFERENCE: Final = "reference"
REFERENCE_TOL: Final = 1e-12
COLUMNS: Final = ("problem", "engine", "tol", "objective", "gap", "reached", "error")


@dataclass(frozen=True)
class Chosen:
    """The loosest tolerance that is accurate enough, else the tightest that gave an answer.

    `tol` is None where there was none, and `error` says why.
    """

    tol: float | None
    objective: float
    error: str


class Calibration:
    """The choices of one problem's engines, and the objective they are held against."""

    def __init__(self, chosen: dict[str, Chosen]) -> None:
        self.chosen = chosen
        # an engine below the reference moves what is best
        self.best = min((c.objective for c in chosen.values()), default=math.inf)

    def of(self, engine: str) -> Chosen:
        """The engine's choice."""
        return self.chosen[engine]

    def gap(self, objective: float) -> float:
        """(objective - best) / |best|; NaN without a best."""
        return relative_gap(objective, self.best)

    def reached(self, objective: float) -> bool:
        """Whether it is close enough."""
        return self.gap(objective) <= WITHIN


def relative_gap(objective: float, best: float) -> float:
    """(objective - best) / |best|."""
    if not math.isfinite(best):
        return math.nan
    return (objective - best) / max(abs(best), 1e-300)


def calibrate(
    launcher: Launcher, problem: Posed, moments: Moments, engines: list[Engine], path: Path
) -> Calibration:
    """Choices of all engines; those that `path`, a CSV file, holds already are taken from it."""
    records = Records(path, COLUMNS)
    known = {
        row["engine"]: Chosen(
            float(row["tol"]) if row["tol"] else None,
            float(row["objective"]) if row["objective"] else math.inf,
            row["error"],
        )
        for row in records.rows
        if row["problem"] == problem.name
    }
    if REFERENCE not in known:
        ours = get_engine("w261reg", launcher.options)
        known[REFERENCE] = _try(launcher, ours, problem, moments, [REFERENCE_TOL], -math.inf)
        _keep(records, problem, REFERENCE, known[REFERENCE], known[REFERENCE].objective)
    target = known[REFERENCE].objective
    if not math.isfinite(target):
        log.warning("%s has no reference: %s", problem.name, known[REFERENCE].error)
    for engine in engines:
        if engine.full_name not in known:
            ladder = list(engine.tolerances) if math.isfinite(target) else [engine.tolerances[-1]]
            known[engine.full_name] = chosen = _try(
                launcher, engine, problem, moments, ladder, target
            )
            _keep(records, problem, engine.full_name, chosen, target)
            log.info("%s: %s", problem.name, _described(engine.full_name, chosen, target))
    best = min(chosen.objective for chosen in known.values())
    if relative_gap(target, best) > WITHIN:
        log.warning("%s: an engine is below the reference", problem.name)
    return Calibration(known)


def _try(
    launcher: Launcher,
    engine: Engine,
    problem: Posed,
    moments: Moments,
    ladder: list[float],
    target: float,
) -> Chosen:
    # without a target no objective is low enough, and the whole ladder is tried
    known = math.isfinite(target)
    _, lines = launcher.fits(
        engine,
        problem,
        ladder,
        f"{engine.full_name}-calibration",
        target=target if known else -1.0,
        within=WITHIN if known else 0.0,
        sd=moments.sd.tolist(),
    )
    answers = [line for line in lines if "objective" in line]
    error = next((line["error"] for line in lines if "error" in line), "")
    if not answers:
        return Chosen(None, math.inf, error or "it gave no answer")
    last = answers[-1]
    return Chosen(last["tol"], last["objective"], error)


def _keep(records: Records, problem: Posed, name: str, chosen: Chosen, target: float) -> None:
    gap = relative_gap(chosen.objective, target)
    records.append(
        {
            "problem": problem.name,
            "engine": name,
            "tol": chosen.tol,
            "objective": chosen.objective,
            "gap": gap,
            "reached": gap <= WITHIN,
            "error": chosen.error,
        }
    )


def _described(name: str, chosen: Chosen, target: float) -> str:
    if chosen.tol is None:
        return f"{name} gave no answer: {chosen.error}"
    return f"{name} at tol {chosen.tol:g}, {relative_gap(chosen.objective, target):.1e} above"
