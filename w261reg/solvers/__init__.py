"""What takes the steps; settings only, one file each."""

from w261reg.registry import discover
from w261reg.solvers.base import FirstPass, Solver, Steps
from w261reg.solvers.loop import FitResult, Iteration, Monitor, Status, minimise

SOLVERS: dict[str, type[Solver]] = discover(__name__, __path__, Solver)  # type: ignore[type-abstract]

__all__ = [
    "SOLVERS",
    "FirstPass",
    "FitResult",
    "Iteration",
    "Monitor",
    "Solver",
    "Status",
    "Steps",
    "minimise",
]
