"""What a user can ask for: one vocabulary from the command line and TOML to the solvers."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Number
from typing import Any, Self

from w261reg.constraints import Given, given_constraints, read_constraints
from w261reg.conventions import CONVENTIONS, check_terms
from w261reg.documents import toml_file
from w261reg.errors import InputError
from w261reg.files import local_form
from w261reg.losses import LOSSES, get_loss
from w261reg.own import check_loss_name, read_penalty
from w261reg.penalties import PENALTIES
from w261reg.registry import Own, lookup
from w261reg.solvers import SOLVERS

# types in which packed features may be stored
STORAGES = ("float64", "float32")
# packed tables up to this size are collected: a pass over them takes less than a Spark job does
COLLECT_BYTES = 2**26
# a generator's key holds 64 bits, and TOML's integers are signed
MOST_SEED = 2**63 - 1
# of a loss that counts: its conventions, and the settings that have a meaning for it
COUNTING = ("spark", "sklearn", "canonical")
_FOR_COUNTS = {
    "data",
    "format",
    "delimiter",
    "null_values",
    "label",
    "positive",
    "features",
    "weight",
    "loss",
    "smoothing",
    "convention",
    "aggregation_depth",
    "collect_bytes",
    "master",
}


@dataclass(frozen=True)
class Settings:
    """A problem and how to solve it. Names are pyspark.ml's, in snake case.

    Attributes:
        data: path of the table; "" where Python passes an object.
        format: csv, libsvm or parquet; None is by the file's name, else by its content.
        delimiter: between the fields of CSV; None is a comma.
        null_values: texts of CSV that mean a missing value, beside the usual ones.
        label: label column.
        positive: the label value that counts as 1.
        features: feature columns; None is all others.
        weight: column of row weights >= 0; None is 1 each.
        sigma: column of the standard deviation of each row's noise, > 0, for mse; or None.
        noise_group: column of groups of rows whose noise has a variance each, for mse; or None.
        loss: a name in LOSSES, or path.py:Name.
        reg_param: strength of the penalty, >= 0, in the convention's terms.
        elastic_net_param: 0 is L2, 1 is L1.
        smoothing: pseudo-count of naive Bayes, >= 0; None is 1 there.
        fit_intercept: whether there is an intercept; it is never penalised.
        convention: what the strength means; a name in CONVENTIONS.
        standardization: penalise weights times standard deviations; None is the convention's habit.
        solver: a name in SOLVERS, or auto.
        step_size: of gradient descent, in the convention's terms; None is the solver's own.
        step_rule: how steps shrink: a name in the solver's `step_rules`; None is constant, for gd
            without a step_size armijo.
        batch_rows: rows of a mini-batch; None is all rows (sgd: 32).
        seed: of the order of rows in mini-batches; None is 0.
        max_iter: the most iterations.
        tol: the scale-free optimality residual, or relative duality gap, at which to stop; 0 is
            where rounding allows no further step.
        warm_start: a model to start from.
        aggregation_depth: levels of merging in a pass; None chooses.
        storage: type of the packed features: float64, or float32 at half the size of dense rows;
            what is computed is float64.
        collect_bytes: packed size up to which a table is collected, and solved on the driver.
        master: Spark's master; None is spark-submit's, or local[*,4].
        penalty: path.py:Name of a penalty of the user's own, or None.
        penalty_param: its strength.
        constraints: path of linear equality constraints on coefficients (CSV or TOML), or tables of
            `rhs` and `coefficients`.
        penalties: strengths of further penalties, by their option's name.
        orders: the features that such a penalty goes by, in order, by its second option's name.
    """

    data: str = ""
    format: str | None = None
    delimiter: str | None = None
    null_values: tuple[str, ...] | None = None
    label: str | None = None
    positive: str | float | None = None
    features: tuple[str, ...] | None = None
    weight: str | None = None
    sigma: str | None = None
    noise_group: str | None = None
    loss: str = ""
    reg_param: float = 0.0
    elastic_net_param: float = 0.0
    smoothing: float | None = None
    fit_intercept: bool = True
    convention: str = "spark"
    standardization: bool | None = None
    solver: str = "auto"
    step_size: float | None = None
    step_rule: str | None = None
    batch_rows: int | None = None
    seed: int | None = None
    max_iter: int = 100
    tol: float = 1e-9
    warm_start: str | None = None
    aggregation_depth: int | None = None
    storage: str = "float64"
    collect_bytes: int = COLLECT_BYTES
    master: str | None = None
    penalty: str | None = None
    penalty_param: float | None = None
    constraints: Given | None = None
    penalties: Mapping[str, float] = field(default_factory=dict)
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def checked(self) -> Self:
        """The settings with numbers as numbers and defaults resolved.

        Raises:
            InputError: a value breaks its rule; the message names argument, rule and value.
        """
        if not self.loss:
            raise InputError(f"loss is required: one of {', '.join(sorted(LOSSES))}")
        for name in ("data", "loss", "penalty", "warm_start", "constraints"):
            path = getattr(self, name)
            if isinstance(path, str) and "\0" in path:
                raise InputError(f"{name} names a file, and no name has a null byte: {path!r}")
        self = replace(self, loss=check_loss_name(self.loss))
        if get_loss(self.loss).counted:
            return self._checked_counts()
        if self.smoothing is not None:
            counted = [name for name, loss in sorted(LOSSES.items()) if loss.counted]
            raise InputError(
                f"smoothing is for loss {', '.join(counted)}, not {self.loss}: {self.smoothing}"
            )
        convention = lookup("convention", self.convention, CONVENTIONS)
        lookup("storage", self.storage, dict.fromkeys(STORAGES))
        if self.solver != "auto":
            lookup("solver", self.solver, {**SOLVERS, "auto": None})
        if self.step_size is not None and self.solver not in ("auto", *_stepping()):
            raise InputError(
                f"step_size is for solver {', '.join(_stepping())}, not {self.solver}: "
                f"{self.step_size}"
            )
        _check_steps(self)
        _check_noise(self)
        checked = replace(
            self,
            reg_param=_number("reg_param", self.reg_param, low=0.0),
            elastic_net_param=_number("elastic_net_param", self.elastic_net_param, 0.0, 1.0),
            tol=_number("tol", self.tol, 0.0),
            max_iter=_integer("max_iter", self.max_iter, 0),
            collect_bytes=_integer("collect_bytes", self.collect_bytes, 0),
            penalties={k: _number(k, v, 0.0) for k, v in self.penalties.items()},
            standardization=convention.standardizes
            if self.standardization is None
            else self.standardization,
        )
        for name in self.orders:
            _check_order(name, self.orders[name], order_options()[name], checked.penalties)
        loss = get_loss(self.loss)
        _check_positive(self)
        check_terms(self.convention, loss, checked.reg_param, checked.elastic_net_param)
        if self.step_size is not None:
            step = _number("step_size", self.step_size, 0.0, above=True)
            checked = replace(checked, step_size=step)
        if (self.penalty is None) != (self.penalty_param is None):
            raise InputError(
                "penalty and penalty_param go together: the file and the strength >= 0, not "
                f"{self.penalty!r} and {self.penalty_param!r}"
            )
        if self.penalty is not None:
            strength = _number("penalty_param", self.penalty_param, 0.0)
            checked = replace(checked, penalty=read_penalty(self.penalty), penalty_param=strength)
        if self.constraints is not None:
            read_constraints(self.constraints)
        if self.batch_rows is not None:
            batch = _integer("batch_rows", self.batch_rows, 1)
            checked = replace(checked, batch_rows=batch)
        if self.seed is not None:
            checked = replace(checked, seed=_integer("seed", self.seed, 0, MOST_SEED))
        return replace(checked, aggregation_depth=_depth(self.aggregation_depth))

    def _checked_counts(self) -> Self:
        """Those of a loss that counts. Raises InputError where one has no meaning for it."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            default = entry.default_factory() if callable(entry.default_factory) else entry.default
            if entry.name not in _FOR_COUNTS and value != default:
                shown = ", ".join(value) if isinstance(value, Mapping) else entry.name
                raise InputError(
                    f"{shown} has no meaning for loss {self.loss}, which counts and has neither "
                    f"penalty nor steps: {value!r}"
                )
        if self.convention not in COUNTING:
            raise InputError(
                f"convention must be one of {', '.join(COUNTING)} for loss {self.loss}, not "
                f"{self.convention!r}"
            )
        _check_positive(self)
        smoothing = 1.0 if self.smoothing is None else self.smoothing
        return replace(
            self,
            smoothing=_number("smoothing", smoothing, 0.0),
            collect_bytes=_integer("collect_bytes", self.collect_bytes, 0),
            aggregation_depth=_depth(self.aggregation_depth),
        )

    def to_dict(self) -> dict[str, Any]:
        """Flat, without what is not set; penalties by their options' names."""
        flat = asdict(self)
        flat.update(flat.pop("penalties"))
        flat.update(flat.pop("orders"))
        return {
            key: _plain(value) for key, value in flat.items() if value is not None and value != ""
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings out of flat values, as TOML or the command line gives them.

        Raises:
            InputError: a name that is not a setting, or a value of the wrong type.
        """
        known = {f.name for f in fields(cls)} - {"penalties", "orders"}
        options, ordering = penalty_options(), order_options()
        penalties = {key: value for key, value in values.items() if key in options}
        orders = {key: _names(key, value) for key, value in values.items() if key in ordering}
        every = known | options.keys() | ordering.keys()
        for key in values:
            if key not in every:
                raise InputError(f"{key!r} is not a setting; there are {', '.join(sorted(every))}")
        chosen = {key: value for key, value in values.items() if key in known}
        texts = ("data", "label", "weight", "loss", "convention", "solver", "storage", "master")
        own = ("penalty", "step_rule", "sigma", "noise_group", "format", "delimiter")
        for key in (*texts, *own):
            if key in chosen and chosen[key] is not None and not isinstance(chosen[key], str):
                raise InputError(f"{key} must be text, not {chosen[key]!r}")
        for key in ("fit_intercept", "standardization"):
            if chosen.get(key) is not None and not isinstance(chosen[key], bool):
                raise InputError(f"{key} must be true or false, not {chosen[key]!r}")
        if chosen.get("warm_start") is not None:
            if not isinstance(chosen["warm_start"], str | os.PathLike):
                raise InputError(f"warm_start must be a path, not {chosen['warm_start']!r}")
            chosen["warm_start"] = os.fspath(chosen["warm_start"])
        if not isinstance(chosen.get("positive"), str | Number | None):
            raise InputError(f"positive must be text or a number, not {chosen['positive']!r}")
        chosen["constraints"] = given_constraints(chosen.get("constraints"))
        chosen["features"] = _names("features", chosen.get("features"))
        chosen["null_values"] = _names("null_values", chosen.get("null_values"))
        given = {key: order for key, order in orders.items() if order is not None}
        return cls(**chosen, penalties=penalties, orders=given)


def _plain(value: Any) -> Any:
    if isinstance(value, Own):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _check_positive(settings: Settings) -> None:
    if get_loss(settings.loss).multiclass and settings.positive is not None:
        raise InputError(
            f"positive is for a loss of two classes, not {settings.loss}, for which each value of "
            f"the label is a class: {settings.positive!r}"
        )


def _depth(depth: int | None) -> int | None:
    return None if depth is None else _integer("aggregation_depth", depth, 1)


def _check_steps(settings: Settings) -> None:
    """Raise InputError where the solver has no use for what was said about its steps."""
    name, rule, batch = settings.solver, settings.step_rule, settings.batch_rows
    kind = SOLVERS.get(name)
    if rule is not None:
        if kind is None or not kind.step_rules:
            raise InputError(
                f"step_rule is for solver {', '.join(_stepping())}, not {name}: {rule}"
            )
        if rule not in kind.step_rules:
            rules = ", ".join(kind.step_rules)
            raise InputError(f"step_rule of solver {name} must be one of {rules}, not {rule!r}")
        if rule == "armijo" and settings.step_size is not None:
            raise InputError(
                "step_size must not be given with step_rule armijo, which finds the steps: "
                f"{settings.step_size}"
            )
    stochastic = [solver for solver in _stepping() if SOLVERS[solver].takes_batches]
    if batch is not None and name not in stochastic:
        raise InputError(f"batch_rows is for solver {', '.join(stochastic)}, not {name}: {batch}")
    if settings.seed is not None and not (
        kind is not None and (kind.needs_batches or (kind.takes_batches and batch is not None))
    ):
        raise InputError(
            "seed is for mini-batches: solver sgd, or batch_rows with "
            f"{', '.join(s for s in stochastic if s != 'sgd')}; not {name}: {settings.seed}"
        )


def _check_noise(settings: Settings) -> None:
    """Raise InputError where rows of different noise do not go with the rest."""
    sigma, group = settings.sigma, settings.noise_group
    if sigma is not None and group is not None:
        raise InputError(f"sigma and noise_group must not both be given: {sigma!r} and {group!r}")
    for name, column in (("sigma", sigma), ("noise_group", group)):
        if column is not None and settings.loss != "mse":
            raise InputError(f"{name} is for loss mse, not {settings.loss}: {column!r}")
    if group is None:
        return
    if settings.solver not in ("auto", "gram"):
        raise InputError(
            f"noise_group is solved from Gram matrices: solver must be gram or auto, not "
            f"{settings.solver}"
        )
    if settings.step_size is not None:
        raise InputError(f"step_size is not for noise_group, which takes none: {group!r}")
    if settings.constraints is not None:
        raise InputError(f"constraints do not go with noise_group: {group!r}")
    if settings.storage != "float64":
        raise InputError(f"noise_group stores no features: storage must not be {settings.storage}")
    if settings.penalty is not None:
        raise InputError(f"noise_group needs penalties L2 and smooth only, not {settings.penalty}")
    for option in settings.penalties:
        if not PENALTIES[penalty_options()[option]].quadratic:
            raise InputError(f"noise_group needs penalties L2 and smooth only, not {option}")
    given = _number("reg_param", settings.reg_param, low=0.0)
    if given and _number("elastic_net_param", settings.elastic_net_param, 0.0, 1.0) > 0:
        raise InputError(
            "noise_group needs a penalty without an L1 part: elastic_net_param must be 0, not "
            f"{settings.elastic_net_param:g}"
        )
    if given and settings.convention != "canonical":
        raise InputError(
            "noise_group with reg_param > 0 needs convention canonical, for the loss is a negative "
            f"log likelihood, which convention {settings.convention} says nothing of"
        )


def _stepping() -> list[str]:
    """The solvers whose step size a user may fix."""
    return [name for name, solver in sorted(SOLVERS.items()) if solver.takes_step_size]


def penalty_options() -> dict[str, str]:
    """The options of penalties that have one of their own: setting name -> penalty name."""
    return {p.option: p.name for p in PENALTIES.values() if p.option is not None}


def order_options() -> dict[str, str]:
    """The options that name features in order: setting name -> that of the penalty's strength."""
    return {
        p.order_option: p.option
        for p in PENALTIES.values()
        if p.order_option is not None and p.option is not None
    }


def _names(key: str, features: Any) -> tuple[str, ...] | None:
    if features is None:
        return None
    if isinstance(features, str):
        features = _split(features)
    if not isinstance(features, Sequence) or not all(isinstance(f, str) and f for f in features):
        raise InputError(f"{key} must be column names, not {features!r}")
    return tuple(features)


def _split(text: str) -> list[str]:
    """Names out of `a, b,"c, d"`: what stands in double quotes is a name as it is."""
    parts = re.findall(r'\s*("(?:[^"]|"")*"|[^,]*?)\s*(?:,|$)', text)
    if len(parts) > 1 and not text.rstrip().endswith(","):
        parts.pop()  # the nothing behind the last
    return [
        part[1:-1].replace('""', '"') if len(part) > 1 and part[0] == part[-1] == '"' else part
        for part in parts
    ]


def _check_order(
    name: str, order: tuple[str, ...], strength: str, penalties: Mapping[str, float]
) -> None:
    if strength not in penalties:
        raise InputError(f"{name} is for {strength}, which is not given: {', '.join(order)}")
    if len(order) < 2:
        raise InputError(f"{name} must name at least two features, not {', '.join(order)!r}")
    twice = [feature for feature in order if order.count(feature) > 1]
    if twice:
        raise InputError(f"{name} names feature {twice[0]!r} twice")


def _number(
    name: str, value: Any, low: float, high: float = math.inf, above: bool = False
) -> float:
    rule = (
        f"> {low:g}" if above else f">= {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
    )
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number {rule}, not {value!r}") from None
    inside = low < number <= high if above else low <= number <= high
    if isinstance(value, bool) or not inside or math.isinf(number):
        raise InputError(f"{name} must be {rule}, not {value}")
    return number


def _integer(name: str, value: Any, low: int, high: float = math.inf) -> int:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not low <= int(value) <= high:
        rule = f">= {low}" if high == math.inf else f"in [{low}, {high}]"
        raise InputError(f"{name} must be an integer {rule}, not {value!r}")
    return int(value)


def read_toml(path: str) -> dict[str, Any]:
    """Settings in a TOML file, by their names with underscores; `no_` switches are understood.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    plain: dict[str, Any] = {}
    for key, value in toml_file("config", local_form(path, "config")).items():
        name = key.replace("-", "_")
        if name in ("no_intercept", "no_standardization"):
            if not isinstance(value, bool):
                raise InputError(f"{name} must be true or false, not {value!r}")
            name, value = {"no_intercept": "fit_intercept"}.get(name, "standardization"), not value
        plain[name] = value
    return plain
