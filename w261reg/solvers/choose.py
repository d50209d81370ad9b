"""Which solver `auto` takes: the one of least estimated cost."""

import math
from dataclasses import dataclass

from w261reg.losses import Loss

# a Hessian of this many features is 128 MiB, and its Cholesky factor seconds on one core
MAX_HESSIAN_FEATURES = 4096
# rows of a table whose length is not known before it is read
ASSUMED_ROWS = 1_000_000
# rows of the sample for each coefficient, and at least
SAMPLE_PER_FEATURE, LEAST_SAMPLE = 20, 20_000

# Rates of one core, from measurements; only their proportions count.
MEMORY = 8e9  # bytes a second, of dense rows that pass through the cache
SPARSE = 4e8  # stored entries a second, gathered and scattered
POINTWISE = 5e7  # rows a second, of a loss with its derivatives
PRODUCTS, FULL_SPEED = 4e10, 50  # multiply-adds a second of a symmetric product, half at n = 50
SPARSE_PRODUCTS = 1e8  # the same for sparse rows
TRANSFER = 5e8  # bytes a second, of a state from a task to the driver
KEEPING = 1e9  # bytes a second, packed for further passes

# passes that a solver needs, a typical problem; its first pass counts
SAVED = 2  # by a head start
NEWTON, NEWTON_L1, SAMPLED, SAMPLED_L1, GRADIENTS, GRADIENTS_L1 = 6, 7, 12, 14, 40, 60

# these have the Hessian at their answer, out of which most proofs come
PROVING = ("gram", "newton", "proximal")
# seconds that a proof is worth
PROOF_SECONDS = 1.0


@dataclass(frozen=True)
class Size:
    """What a problem's passes cost by.

    Attributes:
        rows, features: m and n.
        entries: numbers stored a row: n for dense rows.
        cores: that work at a time.
        overhead: seconds that a pass takes beside its work.
        travels: whether states travel from tasks to the driver.
        previewed: whether second-order solvers can start at the optimum of a few rows.
        outputs: K of the loss: as many gradients, and a Hessian for each pair of them.
    """

    rows: int
    features: int
    entries: float
    cores: int = 1
    overhead: float = 0.0
    travels: bool = True
    previewed: bool = False
    outputs: int = 1

    @property
    def coefficients(self) -> int:
        """How many there are."""
        return self.features * self.outputs

    @property
    def _pairs(self) -> int:
        """Matrices that make a Hessian."""
        return max(1, self.outputs * (self.outputs - 1) // 2)

    @property
    def every(self) -> int:
        """The sample is one row in so many."""
        wanted = max(LEAST_SAMPLE, SAMPLE_PER_FEATURE * self.coefficients)
        return max(1, self.rows // wanted)

    @property
    def sparse(self) -> bool:
        """Whether rows are worth storing sparse."""
        return self.entries < self.features / 3

    def gradient(self) -> float:
        """Seconds of a pass for loss and gradient."""
        if self.sparse:
            work = self.rows * self.entries * self.outputs / SPARSE
        else:
            # further outputs find the rows in the cache
            more = 2 * (self.outputs - 1) / PRODUCTS
            work = self.rows * self.entries * (8 / MEMORY + more)
        return self.overhead + (work + self.rows * self.outputs / POINTWISE) / self.cores

    def hessian(self, rows: float) -> float:
        """Seconds that the Hessian of so many rows adds to a pass."""
        n = self.features
        if self.sparse:
            work = rows * self.entries**2 / SPARSE_PRODUCTS
        else:
            work = rows * n * (n + FULL_SPEED) / PRODUCTS
        if self.outputs > 1:
            work += rows / POINTWISE  # the weights of a pair
        transfer = 8 * n**2 * self.cores / TRANSFER if self.travels else 0.0
        return self._pairs * (work / self.cores + transfer)

    def keep(self) -> float:
        """Seconds that packing the rows for further passes takes."""
        return 8 * self.rows * self.entries / KEEPING / self.cores

    def solve(self) -> float:
        """Seconds of a Cholesky factor on the driver."""
        return float(self.coefficients) ** 3 / 3 / PRODUCTS


@dataclass(frozen=True)
class Estimate:
    """Passes and seconds that a solver is expected to take, reading left out."""

    passes: int
    seconds: float

    def __str__(self) -> str:
        digits = 1 - math.floor(math.log10(max(self.seconds, 1e-3)))
        many = "es" * (self.passes > 1)
        return f"{self.passes} pass{many} {round(self.seconds, max(0, digits)):g} s"


@dataclass(frozen=True)
class Choice:
    """A solver's name, why that one, and the estimates of all candidates."""

    solver: str
    why: str
    estimates: dict[str, Estimate]


def choose(
    loss: Loss,
    size: Size,
    kinked: bool,
    step_size: float | None,
    ridge: bool = True,
    constrained: bool = False,
) -> Choice:
    """The candidate of least estimated cost; one whose answer has a proof may take a second more.

    Args:
        loss: the loss.
        size: of the problem.
        kinked: whether a penalty has an L1 part.
        step_size: a fixed step the user asked for, or None.
        ridge: whether the penalty is L2 alone.
        constrained: whether there are linear equality constraints.
    """
    if step_size is not None:
        return Choice("gd", "a step size was given", {})
    if loss.kinked:
        why = f"the loss {loss.name} has kinks, and the penalty is "
        if ridge:
            return Choice("pegasos", why + "L2 alone", {})
        return Choice("gd", why + "not L2 alone", {})
    if constrained:
        own = "gram" if loss.quadratic else "newton"
        return Choice(own, "there are constraints, which the solvers gram and newton keep to", {})
    estimates = _estimates(loss, size, kinked)
    name = min(
        estimates,
        key=lambda solver: estimates[solver].seconds - PROOF_SECONDS * (solver in PROVING),
    )
    if len(estimates) == 1:
        n, most = size.coefficients, MAX_HESSIAN_FEATURES
        what = "features" if size.outputs == 1 else "coefficients"
        return Choice(name, f"a Hessian of {n:,} {what} is too large (over {most:,})", estimates)
    best, others = estimates[name], {k: v for k, v in estimates.items() if k != name}
    text = ", ".join(f"{k} {v}" for k, v in others.items())
    least = best.seconds <= min(other.seconds for other in others.values())
    why = "least estimated cost" if least else "its answer comes with a proof"
    return Choice(name, f"{why}: {best} (against {text})", estimates)


def _estimates(loss: Loss, size: Size, kinked: bool) -> dict[str, Estimate]:
    found = {}
    gradient, solve, keep = size.gradient(), size.solve(), size.keep()
    if size.coefficients <= MAX_HESSIAN_FEATURES:
        whole = size.hessian(size.rows)
        # a proximal step is a few solutions for sets of signs
        step = solve * (5 if kinked else 1)
        if loss.quadratic:
            found["gram"] = Estimate(1, gradient + whole + step)
        else:
            passes = (NEWTON_L1 if kinked else NEWTON) - SAVED * size.previewed
            seconds = keep + passes * (gradient + whole + step)
            found["proximal" if kinked else "newton"] = Estimate(passes, seconds)
        passes = SAMPLED_L1 if kinked else SAMPLED
        sample = 2 * size.hessian(size.rows / size.every)
        found["sampled"] = Estimate(passes, keep + passes * (gradient + step) + sample)
    passes = GRADIENTS_L1 if kinked else GRADIENTS
    found["lbfgs"] = Estimate(passes, keep + passes * gradient)
    return found
