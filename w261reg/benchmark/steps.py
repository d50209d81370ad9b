"""The steps in order, as the command line asks for them."""

from pathlib import Path
from typing import Any

from w261reg.benchmark.analysis import analyse
from w261reg.benchmark.engines import ENGINES, engine_names
from w261reg.benchmark.plan import plan_of
from w261reg.benchmark.plot import plot, table
from w261reg.benchmark.problems import PROBLEMS
from w261reg.benchmark.run import run, write_plan
from w261reg.benchmark.tables import TABLES


def benchmark(out: str, given: dict[str, Any]) -> str:
    """Run the steps asked for into the folder `out`; returns the summary's table, if there is one.

    Args:
        out: a new folder, or that of an earlier run, which is gone on with.
        given: the options of the command line, by name; see plan.plan_of.

    Raises:
        InputError: an option breaks its rule.
        ComputeError: nothing could be measured.
    """
    plan, folder = plan_of(out, given), Path(out)
    if "run" in plan.steps:
        write_plan(plan, folder)
        run(plan, folder)
    if "analyse" in plan.steps:
        analyse(folder)
    if "plot" in plan.steps:
        return f"{table(folder)}\nreport: {plot(folder)}"
    return table(folder) if "analyse" in plan.steps else ""


def listing() -> str:
    """Problems and engines, a line each."""
    lines = ["problems"]
    for name, problem in PROBLEMS.items():
        lines.append(f"  {name:18} {problem.about}; {TABLES[problem.table].about}")
    lines.append("engines (* runs unless --engines names others)")
    usual = engine_names(usual=True)
    for name in engine_names():
        family = ENGINES[name.split(":")[0]]
        why = family().available()
        mark = "*" if name in usual else " "
        lines.append(f"{mark} {name:24} {family.title}{f' - not here: {why}' if why else ''}")
    return "\n".join(lines)
