"""What a user's own loss or penalty must keep, seen on random numbers before any data is read."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w261reg.errors import InputError
from w261reg.losses import Loss
from w261reg.losses.base import FIRST_STEP
from w261reg.penalties import Penalty

Array = NDArray[np.float64]
ROWS, COLUMNS, FEATURES = 61, 3, 6
# differences are right to about 1e-10, and to less where they are differences of differences
CLOSE, ROUGH = 1e-6, 1e-4


class _Own:
    """One term under test: calls its methods, and says in one line what is wrong.

    Args:
        what: loss or penalty.
        name: as the user gave it.
        term: the loss, or the penalty of some strength.
    """

    def __init__(self, what: str, name: str, term: Any) -> None:
        self.what, self.name, self.term = what, name, term

    def wrong(self, method: str, why: str) -> InputError:
        return InputError(f"{self.what} {self.name}: {type(self.term).__name__}.{method} {why}")

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                return getattr(self.term, method)(*arguments)
        except Exception as error:
            line = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise self.wrong(method, f"fails: {type(error).__name__}: {line}") from error

    def array(self, method: str, shape: tuple[int, ...], *arguments: Any) -> Array:
        """What a method gives, which must be finite float64 of this shape."""
        return self.checked(method, shape, self.call(method, *arguments), arguments)

    def checked(
        self, method: str, shape: tuple[int, ...], found: Any, arguments: tuple[Any, ...]
    ) -> Array:
        if not isinstance(found, np.ndarray):
            raise self.wrong(method, f"must give an array, not {type(found).__name__}")
        if found.shape != shape:
            raise self.wrong(method, f"must give shape {shape}, not {found.shape}")
        if found.dtype != np.float64:
            raise self.wrong(method, f"must give float64, not {found.dtype}")
        if not np.isfinite(found).all():
            at = tuple(np.argwhere(~np.isfinite(found))[0])
            raise self.wrong(method, f"gives {found[at]}{_at(arguments, at)}")
        return found

    def number(self, method: str, *arguments: Any) -> float:
        """What a method gives, which must be a finite number."""
        found = self.call(method, *arguments)
        try:
            number = float(found)
        except (TypeError, ValueError):
            raise self.wrong(method, f"must give a number, not {found!r}") from None
        if not np.isfinite(number):
            raise self.wrong(method, f"gives {number}")
        return number

    def equal(
        self, method: str, found: Array, wanted: Array, tolerance: Array, why: str, at: Any
    ) -> None:
        """Raise InputError where two arrays differ by more than a tolerance."""
        off = np.abs(found - wanted) > tolerance
        if off.any():
            i = tuple(np.argwhere(off)[0])
            raise self.wrong(method, f"gives {found[i]:.9g}{_at(at, i)}, and {why} {wanted[i]:.9g}")


def _at(arguments: tuple[Any, ...], at: tuple[Any, ...]) -> str:
    """Where: the label and the predictor, or nothing for a penalty."""
    if len(arguments) == 2:
        y, z = arguments
        return f" at y = {y[at[0]]:.6g}, z = {z[at]:.6g}"
    return f" at z = {arguments[0][at]:.6g}" if arguments[0].ndim == len(at) == 2 else ""


# --- losses -------------------------------------------------------------------------------------


def random_labels(loss: Loss, rng: np.random.Generator) -> Array:
    """Labels (b,) in the loss's range."""
    low, high = loss.label_range
    if loss.classification:
        return rng.integers(0, 2, ROWS).astype(float)
    if np.isfinite(low) and np.isfinite(high):
        return rng.uniform(low, high, ROWS)
    size = 2.0 * rng.normal(size=ROWS)
    return (
        low + np.abs(size) if np.isfinite(low) else high - np.abs(size) if high < np.inf else size
    )


def check_own_loss(name: str, loss: Loss) -> None:
    """Shapes, types, range, derivatives, convexity and the null predictor of a user's own loss.

    Raises:
        InputError: naming file, class, method, and the value where it fails.
    """
    rng = np.random.default_rng(261)
    own = _Own("loss", name, loss)
    y, z = random_labels(loss, rng), 2.0 * rng.normal(size=(ROWS, COLUMNS))
    shape, at = z.shape, (y, z)
    value = own.array("value", shape, y, z)
    parts = {"value": value}
    for method in ("derivative", "curvature"):
        parts[method] = own.array(method, shape, y, z)
    for method, part in parts.items():
        alone = np.hstack(
            [own.array(method, (ROWS, 1), y, z[:, [j]].copy()) for j in range(COLUMNS)]
        )
        why = "with its column alone"
        own.equal(method, part, alone, 1e-12 * (1 + np.abs(part)), why, at)
    for method, names in (("first", list(parts)[:2]), ("all", list(parts))):
        together = own.call(method, y, z)
        if not isinstance(together, tuple) or len(together) != len(names):
            raise own.wrong(method, f"must give ({', '.join(names)})")
        for part_name, found in zip(names, together, strict=True):
            found = own.checked(method, shape, found, at)
            wanted = parts[part_name]
            own.equal(method, found, wanted, 1e-9 * (1 + np.abs(wanted)), f"{part_name} gives", at)
    _check_convex(own, y, z, value)
    _check_derivatives(own, parts, y, z)
    _check_mean(own, loss, parts, y, z)
    _check_flags(own, loss, parts, y, z)
    _check_null(own, loss, y)


def _check_derivatives(own: _Own, parts: dict[str, Array], y: Array, z: Array) -> None:
    h = FIRST_STEP * np.maximum(1.0, np.abs(z))
    rough = ROUGH if own.term.numerical else CLOSE
    for method, below, tolerance in (
        ("derivative", "value", CLOSE), ("curvature", "derivative", rough)
    ):  # fmt: skip
        high = own.array(below, z.shape, y, z + h)
        low = own.array(below, z.shape, y, z - h)
        slope = (high - low) / (2 * h)
        size = 1 + np.abs(parts[below]) + np.abs(slope)
        # within a step of a kink any slope between those of its sides is right
        here, noise = parts[below], tolerance * size
        sides = np.sort(np.stack([(here - low) / h, (high - here) / h]), axis=0)
        kink = sides[1] - sides[0] > 0.1 * size
        found = parts[method]
        between = kink & (found >= sides[0] - noise) & (found <= sides[1] + noise)
        wanted = np.where(between, found, slope)
        if own.term.numerical and (np.abs(found - wanted) > noise).any():
            i = tuple(np.argwhere(np.abs(found - wanted) > noise)[0])
            raise own.wrong(
                "value",
                f"is too rough for differences{_at((y, z), i)}: define derivative and curvature",
            )
        own.equal(method, found, wanted, noise, f"differences of {below} give", (y, z))
    negative = parts["curvature"] < 0
    if negative.any():
        at = tuple(np.argwhere(negative)[0])
        where = _at((y, z), at)
        raise own.wrong("curvature", f"gives {parts['curvature'][at]:.9g}{where}: must be >= 0")


def _check_convex(own: _Own, y: Array, z: Array, value: Array) -> None:
    other = np.roll(z, 7, axis=0)
    ends = own.array("value", z.shape, y, other)
    middle = own.array("value", z.shape, y, (z + other) / 2)
    above = middle - (value + ends) / 2 > 1e-9 * (1 + np.abs(value) + np.abs(ends))
    if above.any():
        i = tuple(np.argwhere(above)[0])
        raise own.wrong(
            "value",
            f"is not convex in z: at y = {y[i[0]]:.6g} it is {value[i]:.6g} at z = {z[i]:.6g}, "
            f"{ends[i]:.6g} at {other[i]:.6g} and {middle[i]:.6g} in the middle",
        )


def _check_mean(own: _Own, loss: Loss, parts: dict[str, Array], y: Array, z: Array) -> None:
    mean = own.array("mean", z.shape, z)
    own.array("mean", (ROWS,), z[:, 0].copy())
    if loss.classification and not ((mean >= 0) & (mean <= 1)).all():
        outside = float(mean[(mean < 0) | (mean > 1)][0])
        raise own.wrong("mean", f"gives {outside:.6g}: a probability must be in [0, 1]")
    if loss.canonical:
        residual = mean - y[:, None]
        size = ROUGH if loss.numerical else CLOSE
        why = "mean(z) - y, which it must be for a canonical loss, is"
        bound = size * (1 + np.abs(residual))
        own.equal("derivative", parts["derivative"], residual, bound, why, (y, z))


def _check_flags(own: _Own, loss: Loss, parts: dict[str, Array], y: Array, z: Array) -> None:
    value = parts["value"]
    size = 1e-9 * (1 + np.abs(value))
    if loss.quadratic:
        wanted, why = 0.5 * (z - y[:, None]) ** 2, "(z - y)^2 / 2, as of any quadratic loss, is"
        own.equal("value", value, wanted, size, why, (y, z))
    elif loss.canonical and not loss.classification:
        other = np.roll(y, 5)
        ends = own.array("value", z.shape, other, z)
        middle = own.array("value", z.shape, (y + other) / 2, z)
        why = "a canonical loss, which is a function of z minus y z, would give"
        own.equal("value", middle, (value + ends) / 2, size, why, ((y + other) / 2, z))
    if loss.self_concordant:
        raise own.wrong("self_concordant", "must be False: it promises proofs nobody has checked")
    if loss.classification:
        far = np.array([[12.0], [18.0], [24.0]])
        falls = np.diff(own.array("value", (3, 1), np.ones(3), far)[:, 0])
        if (falls < 0).all() and not loss.may_separate:
            raise own.wrong(
                "may_separate",
                "must be True: for y = 1 the value still falls at z = 24, so that without a "
                "penalty there may be no optimum",
            )
        if loss.may_separate:
            own.array("margin", z.shape, y, z)
    elif loss.may_separate:
        raise own.wrong("may_separate", "is for classification: it must be False")


def _check_null(own: _Own, loss: Loss, y: Array) -> None:
    share = np.full(len(y), 1 / len(y))
    z0 = own.number("null_predictor", float(share @ y))
    if not (loss.classification or loss.canonical):
        return  # the mean of the labels alone does not tell the best z

    def mean_loss(z: float) -> float:
        return float(share @ own.array("value", (len(y), 1), y, np.full((len(y), 1), z))[:, 0])

    best = mean_loss(z0)
    for z in (z0 - 1e-2, z0 + 1e-2, z0 - 0.3, z0 + 0.3):
        if mean_loss(z) < best - 1e-9 * (1 + abs(best)):
            raise own.wrong(
                "null_predictor",
                f"gives {z0:.6g} for labels of mean {float(share @ y):.6g}, where the mean loss is "
                f"{best:.6g}; at z = {z:.6g} it is {mean_loss(z):.6g}",
            )


# --- penalties ----------------------------------------------------------------------------------


def check_own_penalty(name: str, kind: type[Penalty]) -> None:
    """Shapes, derivatives, kinks and convexity of a user's own penalty.

    Raises:
        InputError: naming file, class, method, and the value where it fails.
    """
    rng = np.random.default_rng(262)
    scale = np.array([1.0, 3.0, 0.2, 5.0, 1.0, 0.7])
    try:
        penalty = kind.of(0.7, scale)
    except Exception as error:
        line = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise InputError(
            f"penalty {name}: {kind.__name__}.of fails: {type(error).__name__}: {line}"
        ) from error
    if not isinstance(penalty, Penalty):
        raise InputError(
            f"penalty {name}: {kind.__name__}.of must give a {kind.__name__}, not {penalty!r}"
        )
    own = _Own("penalty", name, penalty)
    n = FEATURES
    kink = own.array("kink", (n,), np.zeros(n))
    if (kink < 0).any() or bool(kink.any()) != kind.kinked:
        raise own.wrong(
            "kink", f"gives {kink.tolist()} at w = 0, which must be >= 0, and 0 unless `kinked`"
        )
    for _ in range(5):
        w, other = (rng.choice([-1.0, 1.0], n) * rng.uniform(0.3, 2, n) for _ in range(2))
        value, ends = own.number("value", w), own.number("value", other)
        middle = own.number("value", (w + other) / 2)
        if middle - (value + ends) / 2 > 1e-9 * (1 + abs(value) + abs(ends)):
            raise own.wrong(
                "value",
                f"is not convex: {value:.6g} and {ends:.6g} at two points, {middle:.6g} between",
            )
        gradient = own.array("gradient", (n,), w)
        hessian = own.call("hessian", w)
        full = getattr(hessian, "shape", None) == (n, n)
        hessian = own.checked("hessian", (n, n) if full else (n,), hessian, (w,))
        matrix = hessian if full else np.diag(hessian)
        if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0.0):
            raise own.wrong("hessian", "must be symmetric")
        _check_slopes(own, w, gradient, matrix)


def _check_slopes(own: _Own, w: Array, gradient: Array, hessian: Array) -> None:
    steps = FIRST_STEP * np.eye(len(w))

    def differences(function: Callable[[Array], Any]) -> Array:
        return np.array([(function(w + h) - function(w - h)) / (2 * FIRST_STEP) for h in steps])

    slope = differences(lambda at: own.number("value", at))
    size = CLOSE * (1 + np.abs(slope).max())
    wanted = "differences of value give"
    own.equal("gradient", gradient, slope, np.full_like(slope, size), wanted, (w,))
    bend = differences(lambda at: own.array("gradient", (len(w),), at))
    size = CLOSE * (1 + np.abs(bend).max())
    wanted = "differences of gradient give"
    own.equal("hessian", hessian, bend, np.full_like(bend, size), wanted, (w,))
