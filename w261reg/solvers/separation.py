"""Whether rows can be separated: a linear program, solved exactly, whose rows come as needed."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import AlongDirections, Direction
from w261reg.aggregators.directions import Lowest
from w261reg.constrained import Constrained
from w261reg.constraints import INTERCEPT
from w261reg.exact import Integers, integers, null_space, of_fractions, without_factor
from w261reg.objective import Objective
from w261reg.solvers.cone import Cone

Array = NDArray[np.float64]

# coordinates of the linear program, squared, times the digits of a row: its pivots, as many as
# coordinates, take about so many operations, in integers that grow as long
MOST_WORK = 40_000
# passes of one search
MOST_PASSES = 40
# rows that a pass brings home for each direction, beside one for each coordinate
MORE_ROWS = 8
# numbers of a direction are taken for a fraction of so few parts where they are so near to it
MOST_PARTS, SIMPLE = 16, 1e-5
# centres are whole in units of this share of a feature's unit
CENTRE = 16


class Separation:
    """Finds out whether a direction v separates: no row's margin falls along it and some rise.

    Then larger weights along v always fit better, and a loss without a penalty there has no
    optimum; if there is none, it has one (Albert and Anderson 1984, *On the Existence of Maximum
    Likelihood Estimates in Logistic Regression Models*). With margins a_i'v that is: either some v
    has a_i'v >= 0 for all i, not all 0, or sum_i x_i a_i = 0 with x_i > 0 for rows that span all
    (Stiemke's lemma). Few rows decide. Those at hand make a linear program, which is solved
    in integers: the data are floats, so the question has an answer free of rounding. Where it finds
    a v, a pass looks for rows whose margins fall along v, which then join; where there are none, v
    is a proof. Where the rows at hand allow none but v with a_i'v = 0 for some of them, the search
    goes on among those, in fewer dimensions, until none is left.

    Attributes:
        separated: True or False, once that is proven; None before.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.outputs = objective.loss.outputs
        self.separated: bool | None = None
        self._raw = _raw(objective)
        self._base = _space(objective, self._raw)
        self._whole = self._base.shape[1] == objective.coordinates.single.p
        # several outputs: the first one's direction is 0, for common moves change no margin
        self._copies = max(1, self.outputs - 1)
        self._open = False
        self._rows: list[Integers] = []
        self._seen: set[tuple[int, ...]] = set()

    @property
    def size(self) -> int:
        """Coordinates of the linear program."""
        return self._copies * self._base.shape[1]

    def search(self, near: Array) -> None:
        """Try to decide, from the rows of low margins along directions `near` (p, k) on.

        Where the linear program has too many coordinates, only those directions are tried.
        """
        if self.separated is not None:
            return
        if self.size == 0:
            self.separated = False
            return
        thetas = [theta for theta in near.T if theta.any()]
        given = [_of_theta(self.objective, theta) for theta in thetas]
        given += [_plain(self.objective, theta) for theta in thetas]
        if given and self._proves([*given, *map(_opposite, given)]) and self._whole:
            self.separated = True
        elif not self._too_large():
            self.separated = self._decided()

    def _too_large(self) -> bool:
        """Whether the linear program would take too long."""
        digits = (abs(value).bit_length() for row in self._rows for value in row.tolist())
        return self.size**2 * max(digits, default=0) > MOST_WORK

    def _decided(self) -> bool | None:
        """Whether some direction separates; None where passes or digits run out."""
        space = np.zeros((self.size, self.size), dtype=object)
        np.fill_diagonal(space, 1)
        left = MOST_PASSES
        while space.shape[1]:
            rows = _projected(self._rows, space)
            if not rows:
                # nothing at hand varies in this space: does anything?
                before, left = len(self._rows), left - 1
                axes = [self._direction(axis) for axis in space.T]
                if self._proves([*axes, *map(_opposite, axes)]):
                    return True
                rows = _projected(self._rows[before:], space)
                if not rows:
                    return None if self._open else False
            cone, balanced = Cone(-sum(rows[1:], rows[0])), list(rows)
            while True:
                for row in rows:
                    cone.add(row)
                cone.solve()
                v = cone.outside
                if v is None:
                    break
                if left <= 0:
                    return None
                before, left = len(self._rows), left - 1
                if self._proves([self._direction(space @ v)]):
                    return True
                rows = _projected(self._rows[before:], space)
                if not any(row @ v < 0 for row in rows):
                    return None  # too many rows need integers
            balanced += [cone.vectors[i] for i in cone.used()]
            space = space @ null_space(np.array(balanced, dtype=object))
            for axis in space.T:
                axis[:] = without_factor(axis.tolist())
        return False

    def _proves(self, directions: Sequence[Direction]) -> bool:
        """Whether one of these separates; takes a pass, whose lowest rows join those at hand."""
        most = self.size + MORE_ROWS
        aggregator = AlongDirections(directions, most)
        aggregator.name = f"does a direction separate: {aggregator.name}"
        found = self.objective.dataset.aggregate(aggregator)
        for both in found.lowest:
            for lowest in both:
                self._gather(lowest)
        self._open = bool(found.open.any())
        return bool((found.positive & ~found.negative & ~found.open).any())

    def _gather(self, lowest: Lowest) -> None:
        to = self.objective.coordinates
        x, exponent = integers(lowest.x[:, :, to.active])
        one = np.full((len(x), int(to.fit_intercept)), 1 << -exponent, dtype=object)
        rows = np.column_stack([x[:, 0] + x[:, 1], one]) @ self._raw @ self._base
        r = self._base.shape[1]
        for row, y, other in zip(rows, lowest.y.astype(np.int64), lowest.other, strict=True):
            whole = np.zeros(self.size, dtype=object)
            if self.outputs == 1:
                whole[:] = row if y else -row
            else:
                for k, part in ((int(y), row), (int(other), -row)):
                    if k:
                        whole[(k - 1) * r : k * r] = part
            key = tuple(without_factor(whole.tolist()))
            if key not in self._seen:
                self._seen.add(key)
                self._rows.append(np.array(key, dtype=object))

    def _direction(self, v: Integers) -> Direction:
        """That of v (size,), in coordinates of the linear program."""
        to = self.objective.coordinates
        n, r = len(to.active), self._base.shape[1]
        own = self._base @ v.reshape(self._copies, r).T  # (p / K, copies)
        raw = self._raw @ own
        if self.outputs > 1:
            raw = np.column_stack([np.zeros(len(raw), dtype=object), raw])
        w = np.zeros((to.n_features, raw.shape[1]), dtype=object)
        w[to.active] = raw[:n]
        b = raw[n] if to.fit_intercept else np.zeros(raw.shape[1], dtype=object)
        return Direction(w, b)


def _projected(rows: Sequence[Integers], space: Integers) -> list[Integers]:
    """The rows as they act on a space, without those that do not, each once."""
    found: dict[tuple[int, ...], None] = {}
    for row in rows:
        own = row @ space
        if own.any():
            found.setdefault(tuple(without_factor(own.tolist())))
    return [np.array(row, dtype=object) for row in found]


def _raw(objective: Objective) -> Integers:
    """(w, b) of one output's u and b0 up to a factor, with a centre near that of theta.

    Exact, and near enough to theta's coordinates that rows are of one size in them.
    (n_active + 1, p / K), without an intercept (n_active, p / K).
    """
    to = objective.coordinates
    n = len(to.active)
    exponent = [int(e) for e in to.exponent]
    most = max([*exponent, 0])
    raw = np.zeros((n + to.fit_intercept, n + to.fit_intercept), dtype=object)
    for j, e in enumerate(exponent):
        raw[j, j] = CENTRE << (most - e)
    if to.fit_intercept:
        for j, (e, centre) in enumerate(zip(exponent, to.centre[to.active], strict=True)):
            raw[n, j] = -round(Fraction(float(centre)) * CENTRE / Fraction(2) ** e) << most
        raw[n, n] = CENTRE << most
    return raw


def _space(objective: Objective, raw: Integers) -> Integers:
    """A basis (p / K, r) of one output's directions that cost no penalty and keep to constraints,
    in the coordinates of `_raw`."""
    to = objective.coordinates
    active, n = to.active, len(to.active)
    conditions = np.zeros((0, len(raw)), dtype=object)
    if not objective.unpenalised:
        bend = objective.penalty.hessian(np.zeros(to.n_features))
        own, _ = integers(np.diag(bend) if bend.ndim == 1 else bend)
        conditions = np.vstack([conditions, own[np.ix_(active, active)] @ raw[:n]])
    if isinstance(objective, Constrained):
        for k in objective.independent:
            given = objective.constraints.rows[k].coefficients
            row = [given.get(objective.names[j], Fraction(0)) for j in active]
            row += [given.get(INTERCEPT, Fraction(0))] * to.fit_intercept
            own = np.array(of_fractions(row), dtype=object)
            conditions = np.vstack([conditions, own @ raw])
    return null_space(conditions)


def _of_theta(objective: Objective, theta: Array) -> Direction:
    """theta (p,) as a direction, exactly: b = b0 - centre'w without rounding."""
    to = objective.coordinates
    w, centre = to.weights(theta).reshape(to.n_features, -1), to.centre
    both, _ = integers(np.append(w.ravel(), to.centred_intercept(theta)))
    of_w = both[: w.size].reshape(w.shape)
    of_centre, by = integers(centre)
    b = (both[w.size :] << -by) - of_centre @ of_w
    return Direction(of_w << -by, b)


def _plain(objective: Objective, theta: Array) -> Direction:
    """The direction of simple numbers near theta (p,): where rows are tied along a direction, as
    those without a rare level are, rounding unties them, and this does not."""
    to = objective.coordinates
    w, unit = to.weights(theta).reshape(to.n_features, -1), to.full_unit()[:, None]
    b = np.atleast_1d(to.centred_intercept(theta)) - to.centre @ w
    small = SIMPLE * float(np.max(np.abs(theta)))
    w = np.where(np.abs(w) > small * unit, w, 0.0)
    both = np.append(w.ravel(), np.where(np.abs(b) > small, b, 0.0))
    largest = float(np.max(np.abs(both), initial=0.0)) or 1.0
    ratios = [Fraction(float(value)) / Fraction(largest) for value in both]
    near = [ratio.limit_denominator(MOST_PARTS) for ratio in ratios]
    simple = [
        fine if abs(fine - ratio) <= SIMPLE else ratio
        for fine, ratio in zip(near, ratios, strict=True)
    ]
    whole = np.array(of_fractions(simple), dtype=object)
    return Direction(whole[: w.size].reshape(w.shape), whole[w.size :])


def _opposite(direction: Direction) -> Direction:
    return Direction(-direction.w, -direction.b)
