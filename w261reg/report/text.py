"""Numbers and sentences: everything the report says in words, as plain text."""

from __future__ import annotations

import math
from typing import Any

from w261reg.report.result import NOT_A_SOLUTION, coefficients_of, number

NOTHING = "-"
# Relative difference of two objectives, each a sum over rows, that says nothing about the models.
ROUNDING = 1e-14
# Loss of the model -> (kind of model, name of the loss, its mean as it stands in the objective).
LOSSES = {
    "mse": ("linear regression", "squared error", "½ mean squared error"),
    "hinge": ("support vector machine", "hinge loss", "mean hinge loss"),
    "squared_hinge": ("support vector machine", "squared hinge loss", "mean squared hinge loss"),
    "bxe": ("logistic regression", "binary cross entropy", "mean binary cross entropy"),
    "cxe": ("softmax regression", "cross entropy of the classes", "mean cross entropy"),
    "naive_bayes": (
        "naive Bayes",
        "negative log likelihood of labels and features",
        "mean negative log likelihood of labels and features",
    ),
}
# Strength of a further penalty, by its setting -> the penalty's name.
PENALTIES = {"smooth_param": "smoothness", "smoothing": "Laplace smoothing"}
# Status of the model -> (badge, kind of the badge's colour, what it means for the reader).
STATUSES = {
    "converged": (
        "Converged",
        "good",
        "The coefficients solve the problem below to the requested tolerance.",
    ),
    "max_iter": (
        "Stopped early",
        "warn",
        "The run was cut off before the tolerance was met. The coefficients are an approximation; "
        "allow more iterations or loosen the tolerance.",
    ),
    "diverged": (
        "Diverged: not a solution",
        "bad",
        "The iteration moved away from the minimum. The coefficients below are only the last "
        "point it reached and must not be used.",
    ),
    "separated": (
        "Separated: not a solution",
        "bad",
        "The features separate the classes, so the loss keeps falling as the coefficients grow "
        "and no finite minimum exists. The coefficients below are only where the run stopped; "
        "an L2 penalty gives the problem an answer.",
    ),
}


def fmt(value: object, digits: int = 4) -> str:
    """A number with `digits` significant digits, "-" for null and non-finite ones.

    Exactly zero is "0", so that a coefficient which is zero differs from one that is tiny.
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15:
        return f"{value:,}"
    x = number(value)
    if x is None:
        return NOTHING
    if x == 0:
        return "0"
    if not 1e-4 <= abs(x) < 1e9:
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        return f"{_trim(mantissa)}e{exponent}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    return _trim(f"{x:,.{decimals}f}")


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(value: object) -> str:
    """A setting as text, numbers as they were written (a seed is not a quantity to round)."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return NOTHING if number(value) is None else repr(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or NOTHING
    if isinstance(value, dict):
        return ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) or NOTHING
    return str(value)


def counted(count: object, noun: str, plural: str | None = None) -> str:
    """A count with its noun, as in "12 passes"; "-" if the count is not known."""
    n = number(count)
    if n is None:
        return f"{NOTHING} {plural or noun + 's'}"
    return f"{fmt(int(n))} {noun if n == 1 else plural or noun + 's'}"


def work(model: dict[str, Any]) -> str:
    """What the run did: iterations and passes over the data."""
    passes = counted(model.get("n_passes"), "pass", "passes")
    return f"{counted(model.get('n_iter'), 'iteration')}, {passes} over the data"


def loss_name(model: dict[str, Any]) -> str:
    """The loss in words; a loss this report does not know keeps its own name."""
    loss = str(model.get("loss"))
    return LOSSES[loss][1] if loss in LOSSES else _own(loss)


def loss_term(model: dict[str, Any]) -> str:
    """The loss as it stands in the objective, e.g. "½ mean squared error"."""
    loss = str(model.get("loss"))
    if noise_groups(model):
        return "mean negative log likelihood of Gaussian noise with the best σ for each group"
    return LOSSES[loss][2] if loss in LOSSES else f"mean {_own(loss)}"


def _own(name: str) -> str:
    """The class's name of a term of the user's own, path.py:Name."""
    return name.rpartition(":")[2]


def is_counted(model: dict[str, Any]) -> bool:
    """Whether the coefficients are logarithms of shares of counts, in closed form."""
    return model.get("loss") == "naive_bayes"


def class_names(model: dict[str, Any]) -> list[str]:
    """The classes of a model that has coefficients for each of them; else none."""
    several = isinstance(model.get("intercept"), list)
    return [str(name) for name in model.get("classes") or []] if several else []


def listed(names: list[str], most: int = 12) -> str:
    """The first of many names."""
    more = f" and {fmt(len(names) - most)} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def penalty_name(model: dict[str, Any]) -> str:
    """The penalty in words."""
    l1, l2 = number(model.get("l1")) or 0.0, number(model.get("l2")) or 0.0
    names = [PENALTIES.get(setting, _own(setting)) for setting in further_penalties(model)]
    if l1 or l2:
        names.insert(0, "elastic net" if l1 and l2 else "L1 (lasso)" if l1 else "L2 (ridge)")
    return " and ".join(names) or "none"


def further_penalties(model: dict[str, Any]) -> dict[str, float]:
    """Strengths > 0 of the penalties beside L1 and L2, by their setting's name."""
    given = model.get("penalty_params")
    found = {key: number(value) for key, value in given.items()} if isinstance(given, dict) else {}
    return {key: strength for key, strength in found.items() if strength}


def problem_name(model: dict[str, Any]) -> str:
    """The problem in one line, e.g. "Linear regression of y on 3 features, L1 (lasso) penalty"."""
    loss = str(model.get("loss"))
    kind = LOSSES[loss][0] if loss in LOSSES else f"{_own(loss)} model"
    penalty = penalty_name(model)
    features = counted(len(model.get("feature_names") or []), "feature")
    label = f" of {model['label']}" if model.get("label") else ""
    if classes := class_names(model):
        label += f" ({counted(len(classes), 'class', 'classes')})"
    if is_counted(model):
        ending = "no smoothing" if penalty == "none" else penalty
        return f"Naive Bayes{label} on {features}, {ending}"
    ending = "no penalty" if penalty == "none" else f"{penalty} penalty"
    if constraints := constraint_count(model):
        ending += f", {counted(constraints, 'linear constraint')}"
    return f"{kind[:1].upper()}{kind[1:]}{label} on {features}, {ending}"


def constraint_count(model: dict[str, Any]) -> int:
    """How many linear equality constraints there are, redundant ones among them."""
    given = model.get("multipliers")
    return len(given) if isinstance(given, list) else 0


def status_of(model: dict[str, Any]) -> tuple[str, str, str]:
    """Badge, colour kind ("good", "warn", "bad", "unknown") and meaning of the status."""
    status = str(model.get("status"))
    return STATUSES.get(status, (status, "unknown", "This status is not known to the report."))


def residual_text(model: dict[str, Any]) -> str:
    """The residual beside the tolerance it is held against."""
    residual, tol = fmt(number(model.get("optimality_residual")), 2), number(model.get("tol"))
    return residual if tol is None else f"{residual} (tolerance {fmt(tol, 2)})"


def residual_sentence(model: dict[str, Any]) -> str:
    """What the optimality residual says about this answer."""
    meaning = (
        "The optimality residual says how far a point is from meeting the conditions of a "
        "minimum. It is free of the units of features, label and weights, and it is 0 at the "
        "exact minimum."
    )
    if model.get("solver") == "pegasos":
        meaning = (
            "A loss with kinks has no gradient that tends to 0, so the optimality residual of this "
            "solver is the gap between the objective and its proven lower bound, relative to the "
            "objective. It is free of units, and 0 at the exact minimum."
        )
    if is_counted(model):
        meaning = (
            "The answer is known in closed form: shares of counts. Its residual is how far the "
            "shares of a class are from adding up to 1, by rounding."
        )
    residual, tol = number(model.get("optimality_residual")), number(model.get("tol"))
    if residual is None:
        return f"{meaning} This run has none to report."
    if tol is None:
        return f"{meaning} Here it is {fmt(residual, 2)}."
    side = "within" if residual <= tol else "above"
    return f"{meaning} Here it is {fmt(residual, 2)}, {side} the tolerance {fmt(tol, 2)}."


def bound_sentence(model: dict[str, Any]) -> str:
    """The guarantee on the objective, empty if the model has none."""
    bound = number(model.get("suboptimality_bound"))
    if bound is None or model.get("status") in NOT_A_SOLUTION:
        return ""
    objective = number(model.get("objective"))
    share = f", {fmt(bound / abs(objective), 2)} of its value" if objective and bound else ""
    return f"The objective is at most {fmt(bound, 2)} above the optimum{share}."


def storage_sentence(model: dict[str, Any]) -> str:
    """What rounding the stored features cost, empty where nothing was rounded."""
    bound = number(model.get("storage_bound"))
    if bound is None:
        return ""
    return (
        f"Features were stored as {model.get('storage')}: this objective and that of the unrounded "
        f"features differ by at most {fmt(bound, 2)}."
    )


def nonzero(model: dict[str, Any]) -> str:
    """Count of coefficients that are not exactly zero, e.g. "23 of 30"."""
    values = [c.value for c in coefficients_of(model)]
    text = f"{fmt(sum(v is not None and v != 0 for v in values))} of {fmt(len(values))}"
    missing = sum(v is None for v in values)
    return f"{text} ({fmt(missing)} not finite)" if missing else text


def intercept_text(model: dict[str, Any]) -> str:
    """The intercept, or one a class."""
    if model.get("fit_intercept") is False:
        return "not fitted"
    intercept = model.get("intercept")
    if isinstance(intercept, list):
        names = class_names(model)
        if len(names) != len(intercept):
            return ", ".join(fmt(number(value), 6) for value in intercept)
        return listed(
            [f"{fmt(number(b), 6)} ({name})" for b, name in zip(intercept, names, strict=True)]
        )
    text = fmt(number(intercept), 6)
    if covariance := model.get("covariance"):
        variance = number(covariance[-1][-1])
        text += "" if variance is None else f" (standard error {fmt(math.sqrt(variance), 4)})"
    return text


def noise_groups(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of rows with a noise of their own; empty without."""
    found = model.get("noise_groups")
    return [group for group in found if isinstance(group, dict)] if found else []


def noise_text(model: dict[str, Any]) -> str:
    """How many groups there are and how their noise differs; empty without."""
    groups = noise_groups(model)
    if not groups:
        return ""
    sigmas = [s for s in (number(group.get("sigma")) for group in groups) if s is not None]
    span = f", σ from {fmt(min(sigmas), 4)} to {fmt(max(sigmas), 4)}" if sigmas else ""
    return f"{counted(len(groups), 'group')} of rows{span}"


def data_text(model: dict[str, Any]) -> str:
    """Number of rows, and the sum of weights where rows do not all weigh one."""
    rows, weights = number(model.get("rows")), number(model.get("sum_of_weights"))
    text = counted(rows, "row")
    if weights is None or weights == rows:
        return text
    return f"{text}, weights add up to {fmt(weights, 6)}"


def summary_rows(model: dict[str, Any]) -> list[tuple[str, str]]:
    """The main facts about a fitted model as (name, text) pairs, in the order to show them.

    `model` is the content of `model.json`. The text is plain: escape it before putting it in HTML.
    """
    badge, _, _ = status_of(model)
    message = model.get("message")
    rows = [
        ("Problem", problem_name(model)),
        ("Data", data_text(model)),
        ("Status", f"{badge}. {message[:1].upper()}{message[1:]}" if message else badge),
        ("Objective", fmt(number(model.get("objective")), 10)),
        ("Optimality residual", residual_text(model)),
    ]
    if bound := bound_sentence(model):
        rows.append(("Guarantee", bound))
    if storage := storage_sentence(model):
        rows.append(("Storage", storage))
    if noise := noise_text(model):
        rows.append(("Noise", noise))
    if classes := class_names(model):
        rows.insert(1, ("Classes", f"{fmt(len(classes))}: {listed(classes)}"))
    if not is_counted(model):
        rows.append(("Non-zero coefficients", nonzero(model)))
    rows += [
        ("Intercept", intercept_text(model)),
        ("Work", work(model)),
        ("Solver", shown(model.get("solver"))),
    ]
    return rows


def convergence_sentence(model: dict[str, Any], n_history: int) -> str:
    """What stands in the place of the convergence figure when there is no curve to draw."""
    if n_history == 0:
        return "No history was recorded."
    if n_history > 1:
        return "The history holds too few finite values to draw."
    if model.get("status") in NOT_A_SOLUTION or model.get("status") == "max_iter":
        return "The history holds a single point, so there is no curve to draw."
    if is_counted(model):
        passes = counted(model.get("n_passes"), "pass", "passes")
        return f"The answer came in closed form from {passes} over the data: no curve to draw."
    if number(model.get("n_passes")) in (None, 1):
        return "The answer came in closed form from one pass over the data: no curve to draw."
    passes = counted(model.get("n_passes"), "pass", "passes")
    return f"The answer came in one step after {passes} over the data: no curve to draw."


def comparison_sentences(comparison: dict[str, Any] | None) -> list[str]:
    """What the comparison with pyspark.ml says: the objective, the coefficients, the note."""
    if not comparison:
        return []
    found = []
    difference = number(comparison.get("objective_difference"))
    engines = comparison.get("engines") or {}
    ours = number((engines.get("w261reg") or {}).get("objective"))
    share = f" ({fmt(abs(difference / ours), 2)} of its value)" if difference and ours else ""
    if difference is None:
        found.append("The objectives of the two engines cannot be compared.")
    elif difference == 0:
        found.append("Both engines reached exactly the same objective.")
    elif ours and abs(difference / ours) < ROUNDING:
        found.append("The objectives of the two engines are equal up to rounding.")
    else:
        lower, higher = ("w261reg", "pyspark.ml") if difference > 0 else ("pyspark.ml", "w261reg")
        found.append(
            f"{lower} reached the lower objective: that of {higher} is "
            f"{fmt(abs(difference), 2)} higher{share}. Both are evaluated on the problem above; "
            "lower is closer to the minimum."
        )
    largest = number(comparison.get("max_coefficient_difference"))
    if largest is not None:
        found.append(
            "The coefficients are exactly equal."
            if largest == 0
            else f"The coefficients differ by at most {fmt(largest, 2)} of the largest one."
        )
    if comparison.get("note"):
        found.append(str(comparison["note"]))
    return found
