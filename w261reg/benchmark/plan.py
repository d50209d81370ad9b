"""What a benchmark is asked to do, checked before anything is measured."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from w261reg.benchmark.engines import Engine, Options, engine_names, get_engine
from w261reg.benchmark.problems import PROBLEMS
from w261reg.benchmark.tables import TABLES, Making
from w261reg.errors import InputError
from w261reg.files import is_uri

STEPS: Final = ("run", "analyse", "plot")
PLAN: Final = "benchmark.json"
# with another of these the rows would not belong together
_FIXED: Final = ("scale", "seed", "row_group_rows")


@dataclass(frozen=True)
class Plan:
    """Problems, engines and how they are measured.

    Attributes:
        problems, engines: names.
        repeats: fresh processes an engine and problem.
        making: scale, seed, row groups and sources of the tables.
        data: folder of the tables.
        options: Spark's master and properties, and the native BLAS.
        timeout: seconds a process may take, calibration included.
        steps: of STEPS.
        micro: measure the kernels' rates too.
    """

    problems: tuple[str, ...]
    engines: tuple[str, ...]
    repeats: int
    making: Making
    data: str
    options: Options
    timeout: float
    steps: tuple[str, ...] = STEPS
    micro: bool = True

    def made_engines(self) -> list[Engine]:
        """The engines with the options."""
        return [get_engine(name, self.options) for name in self.engines]


def plan_of(out: str, given: dict[str, Any]) -> Plan:
    """The plan of what the command line gave; what it did not give has a default.

    Raises:
        InputError: a value breaks its rule, or `out` holds something else.
    """
    if is_uri(out):
        raise InputError(f"out must be a folder on this machine, not {out}")
    problems = _names("problems", given.get("problems"), list(PROBLEMS), list(PROBLEMS))
    engines = _names("engines", given.get("engines"), engine_names(), engine_names(usual=True))
    steps = _names("steps", given.get("steps"), list(STEPS), list(STEPS))
    scale = _number("scale", given.get("scale", 1.0))
    making = Making(
        scale=scale,
        seed=_integer("seed", given.get("seed", 0), 0),
        row_group_rows=_integer("row_group_rows", given.get("row_group_rows", 131_072), 1),
        sources=tuple((t, given[t]) for t in ("a9a", "flights3m") if given.get(t) is not None),
    )
    for problem in problems:  # a path that was given must be there
        TABLES[PROBLEMS[problem].table]().missing(making)
    plan = Plan(
        problems=tuple(problems),
        engines=tuple(engines),
        repeats=_integer("repeats", given.get("repeats", 3), 1),
        making=making,
        data=os.path.abspath(given.get("data") or os.path.join(out, "data")),
        options=Options(given.get("master"), given.get("blas"), _conf(given.get("conf") or [])),
        timeout=_number("timeout", given.get("timeout", 3600.0)),
        steps=tuple(steps),
        micro=bool(given.get("micro", True)),
    )
    _check_out(Path(out), plan)
    return plan


def _names(argument: str, text: str | None, known: list[str], default: list[str]) -> list[str]:
    if text is None:
        return default
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"{argument} must be of {', '.join(known)}, not {name!r}")
        if names.count(name) > 1:
            raise InputError(f"{argument} names {name!r} twice")
    if not names:
        raise InputError(f"{argument} must name one of {', '.join(known)}, not {text!r}")
    return names


def _number(argument: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{argument} must be a number > 0, not {value!r}")
    return float(value)


def _integer(argument: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{argument} must be an integer >= {least}, not {value!r}")
    return value


def _conf(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and key.startswith("spark.")):
            raise InputError(f"conf must be spark.KEY=VALUE, not {pair!r}")
        found[key] = value
    return found


def _check_out(out: Path, plan: Plan) -> None:
    """A folder of an earlier run is gone on with, if its tables are the same."""
    if out.exists() and not out.is_dir():
        raise InputError(f"out {out} is a file, and a folder is to be written")
    if "run" not in plan.steps and not (out / PLAN).is_file():
        raise InputError(f"out {out} holds no benchmark: step run makes one")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / PLAN).is_file():
        raise InputError(f"out {out} is a folder that does not hold a benchmark of w261reg")
    if "run" not in plan.steps:
        return
    before = json.loads((out / PLAN).read_text(encoding="utf-8"))["making"]
    for name in _FIXED:
        now = getattr(plan.making, name)
        if before[name] != now:
            raise InputError(
                f"out {out} holds a benchmark of {name} {before[name]}, not {now}: give another"
            )
