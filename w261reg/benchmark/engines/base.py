"""What an engine is: someone's way to solve a posed problem."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from w261reg.benchmark.problems import Posed
from w261reg.session import session, wake_workers

Array = NDArray[np.float64]
MAX_ITER = 100_000


@dataclass(frozen=True)
class Answer:
    """What a fit found.

    Attributes:
        w, intercept: on the raw scale, (n,).
        iterations, passes: as the engine counts them; None where it does not.
        status: in the engine's words.
    """

    w: Array
    intercept: float
    iterations: int | None = None
    passes: int | None = None
    status: str = ""


@dataclass(frozen=True)
class Options:
    """Where engines run.

    Attributes:
        master: Spark's master; None is the default of w261reg.
        blas: path of a native BLAS for the JVM; None looks for one.
        conf: Spark properties beside those of w261reg's own session.
    """

    master: str | None = None
    blas: str | None = None
    conf: Mapping[str, str] = field(default_factory=dict)


class Engine(ABC):
    """One engine, found by its `name`; with a variant it is called `name:variant`.

    In a run `start`, `fit` and `stop` are called in this order in a fresh process; only `fit` is
    timed, and it begins with reading the file. A second `fit` in the same process is the warm one.

    Attributes:
        variant: one of `variants`, or "" for what the engine takes by itself.
        title: in a table.
        variants: what can be asked for.
        usual: the variants that run unless engines are named.
        packages: what must be importable.
        tolerances: a ladder of the engine's own tolerance, loose to tight.
        fits: how many fits a run makes: the first is cold, a second warm.
        spark: whether it starts Spark.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    variants: ClassVar[Sequence[str]] = ()
    usual: ClassVar[Sequence[str]] = ("",)
    packages: ClassVar[Sequence[str]] = ()
    tolerances: ClassVar[Sequence[float]] = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12)
    fits: ClassVar[int] = 1
    spark: ClassVar[bool] = False

    def __init__(self, variant: str = "", options: Options | None = None) -> None:
        self.variant = variant
        self.options = options or Options()

    @property
    def full_name(self) -> str:
        """`name`, or `name:variant`."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    def available(self) -> str:
        """Why it cannot run here, or ""."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"the package {package} is not installed"
        return ""

    def supports(self, problem: Posed) -> str:
        """Why it cannot solve this problem, or ""."""
        return ""

    def environment(self) -> dict[str, str]:
        """Environment variables its process needs."""
        return {}

    def conf(self) -> dict[str, str]:
        """Spark properties of its own."""
        return {}

    @abstractmethod
    def start(self) -> None:
        """What is not timed: imports, and the session."""

    @abstractmethod
    def fit(self, problem: Posed, tol: float) -> Answer:
        """Read the file and solve the problem: the canonical one, on the raw scale."""

    def stop(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what `start` took."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """By library, after `start`."""


class SparkEngine(Engine):
    """An engine on a session of its own, which has started when a job of imports has run."""

    packages = ("pyspark",)
    fits = 2
    spark = True

    def start(self) -> None:
        self.stack = ExitStack()
        self.spark_session = self.stack.enter_context(session(self.options.master, "benchmark"))
        wake_workers(self.spark_session.sparkContext)  # imports are not timed, as in other engines

    def stop(self) -> None:
        self.stack.close()
