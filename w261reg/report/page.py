"""HTML pages of one result and of several, each a single file that needs nothing else."""

from __future__ import annotations

import base64
import os
import pkgutil
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from w261reg.errors import InputError, printable
from w261reg.report.canvas import Drawn
from w261reg.report.figures import NAMES, draw_all
from w261reg.report.result import Result, number, read_result
from w261reg.report.tables import (
    SUMMARY_HEADS,
    coefficient_table,
    constraint_table,
    engine_table,
    flat,
    metrics_table,
    noise_table,
    summary_cells,
)
from w261reg.report.text import (
    bound_sentence,
    class_names,
    comparison_sentences,
    convergence_sentence,
    data_text,
    fmt,
    further_penalties,
    intercept_text,
    is_counted,
    listed,
    loss_term,
    noise_groups,
    noise_text,
    nonzero,
    penalty_name,
    problem_name,
    residual_sentence,
    shown,
    status_of,
)

# A coefficient table up to this length is shown open; a longer one folds away.
LONG_TABLE = 30
LARGEST_SHOWN = 10
# of a model of several classes, so many rows at most
MOST_ROWS = 5_000
STANDARDIZED = "Features standardized for the penalty"
# in the head of each page
MADE_BY = '<meta name="generator" content="w261reg">'
# what has no meaning for a model that was counted
OF_PENALTIES = ("Penalty", "reg_param", "elastic_net_param", STANDARDIZED)


def figures_of(folder: Path) -> dict[str, bytes]:
    """Figures of a result folder: name without ending -> PNG bytes. Writes nothing."""
    return {figure.name: figure.png for figure in draw_all(read_result(Path(folder)))}


def write_report(folder: Path, *, title: str | None = None) -> Path:
    """Write `figures/*.png` and `report.html` into a result folder; returns the page's path."""
    folder = Path(folder)
    result = read_result(folder)
    figures = draw_all(result)
    _write_figures(folder / "figures", figures)
    heading = title if title is not None else problem_name(result.model)
    return _write_page(
        folder / "report.html",
        title=heading,
        combined=False,
        heads=[],
        sections=[_section(result, heading, "result", figures)],
    )


def write_combined_report(folder: Path, results: Sequence[Path], *, title: str) -> Path:
    """Write `report.html` into `folder`: a summary table of all results, then each in full.

    `results` are result folders. They are only read; `folder` is made if it is missing.
    """
    read = [read_result(Path(path)) for path in results]
    sections = [
        _section(result, name, f"result-{i}", draw_all(result))
        for i, (result, name) in enumerate(zip(read, _names(read), strict=True), start=1)
    ]
    Path(folder).mkdir(parents=True, exist_ok=True)
    return _write_page(
        Path(folder) / "report.html",
        title=title,
        combined=True,
        heads=SUMMARY_HEADS,
        sections=sections,
    )


def _names(results: Sequence[Result]) -> list[str]:
    """A heading a result: its folder's name, with the parent's where that is not unique."""
    paths = [result.folder.resolve() for result in results]
    plain = [path.name for path in paths]
    return [
        name if plain.count(name) == 1 else f"{path.parent.name}/{name}"
        for path, name in zip(paths, plain, strict=True)
    ]


def _write_figures(folder: Path, figures: Sequence[Drawn]) -> None:
    folder.mkdir(exist_ok=True)
    drawn = {figure.name: figure.png for figure in figures}
    for name in NAMES:
        path = folder / f"{name}.png"
        if name in drawn:
            path.write_bytes(drawn[name])
        else:
            # A figure of an earlier run in this folder would now show something untrue.
            path.unlink(missing_ok=True)


def _write_page(path: Path, **context: Any) -> Path:
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(_resource),
        undefined=jinja2.StrictUndefined,
        finalize=_as_data,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    style = Markup(_resource("style.css"))
    page = template.render(style=style, **context)
    if os.path.lexists(path) and not _is_ours(path):
        raise InputError(f"{path} is there and is no report of w261reg: move it, or name another")
    partial = path.with_name(f".report-{uuid.uuid4().hex}")
    try:
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def _is_ours(path: Path) -> bool:
    """Whether a file is a report, by the line in its head."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as page:
        return MADE_BY.encode() in page.read(4096)


def _as_data(value: Any) -> Any:
    """Text of a result as what is seen of it; markup is the page's own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _resource(name: str) -> str:
    """A file of this package as text, also when the package sits in a zip."""
    data = pkgutil.get_data("w261reg.report", name)
    if data is None:
        raise FileNotFoundError(f"{name} is missing from the w261reg.report package")
    return data.decode("utf-8")


def _section(result: Result, name: str, anchor: str, figures: Sequence[Drawn]) -> dict[str, Any]:
    """Everything the template shows about one result, as text."""
    model = result.model
    badge, kind, meaning = status_of(model)
    coefficients = coefficient_table(result)
    n_rows = len(coefficients.rows)
    largest = coefficients.largest(LARGEST_SHOWN) if n_rows > LONG_TABLE else None
    noun = "features" if "Coefficient" not in coefficients.heads else "coefficients"
    everything = f"All {n_rows:,} {noun}"
    if class_names(model) and n_rows > MOST_ROWS:
        coefficients = coefficients.largest(MOST_ROWS)
        everything = f"The {MOST_ROWS:,} largest of {n_rows:,} {noun}"
    return {
        "name": name,
        "anchor": anchor,
        "problem": problem_name(model),
        "badge": badge,
        "kind": kind,
        "meaning": meaning,
        "message": capitalized(model.get("message") or ""),
        "solved": result.is_solution,
        "facts": _facts(result),
        "residual": _unbroken(residual_sentence(model)),
        "bound": _unbroken(bound_sentence(model)),
        "formula": _formula(model),
        "settings": _settings(model, result.config),
        "convergence": convergence_sentence(model, result.n_history),
        "figures": {figure.name: _shown_figure(figure) for figure in figures},
        "constraints": constraint_table(model),
        "metrics": metrics_table(result),
        "noise": noise_table(result),
        "noise_text": noise_text(model),
        "many_groups": len(noise_groups(model)) > LONG_TABLE,
        "uncertain": any(c.standard_error is not None for c in result.coefficients)
        and bool(noise_groups(model) or result.config.get("sigma")),
        "coefficients": coefficients,
        "largest": largest,
        "everything": everything,
        "compared": result.comparison is not None,
        "comparison": [_unbroken(s) for s in comparison_sentences(result.comparison)],
        "compared_on": _pairs((result.comparison or {}).get("problem")),
        "engines": engine_table(result),
        "config": _pairs(result.config),
        "versions": _pairs(model.get("library_versions")),
        "summary": summary_cells(result),
    }


def _unbroken(text: str) -> Markup:
    """`text` escaped, with numbers such as 1e-08 kept on one line (browsers break at "-")."""
    # A plain string for re.sub: Markup would escape the tags as well.
    escaped = str(escape(printable(text)))
    return Markup(re.sub(r"\d[\d.]*e-\d+", r'<span class="number">\g<0></span>', escaped))


def _shown_figure(figure: Drawn) -> dict[str, str]:
    data = base64.b64encode(figure.png).decode("ascii")
    return {
        "src": f"data:image/png;base64,{data}",
        "alt": figure.alt,
        "caption": figure.caption,
    }


def _facts(result: Result) -> list[tuple[str, str]]:
    """The figures a reader looks for first."""
    model = result.model
    bound = number(model.get("suboptimality_bound")) if result.is_solution else None
    return [
        ("Objective", fmt(number(model.get("objective")), 8)),
        (
            f"Optimality residual, tolerance {fmt(number(model.get('tol')), 2)}",
            fmt(number(model.get("optimality_residual")), 2),
        ),
        ("Above the optimum by at most", fmt(bound, 2)),
        *([] if is_counted(model) else [("Non-zero coefficients", nonzero(model))]),
        ("Passes over the data", shown(model.get("n_passes"))),
        ("Iterations", shown(model.get("n_iter"))),
    ]


def _formula(model: dict[str, Any]) -> dict[str, Any]:
    """Numbers and words of the objective; a term with weight zero is left out."""
    l1, l2 = number(model.get("l1")), number(model.get("l2"))
    further = further_penalties(model)
    gamma = further.pop("smooth_param", None)
    smoothing = further.pop("smoothing", None)
    given = model.get("penalty_params")
    order = given.get("smooth_order") if isinstance(given, dict) else None
    return {
        "loss": loss_term(model),
        "l1": fmt(l1, 6) if l1 else "",
        "l2": fmt(l2, 6) if l2 else "",
        "smooth": fmt(gamma, 6) if gamma else "",
        "order": shown(order) if order else "",
        "further": [f"{name} of strength {fmt(size, 6)}" for name, size in further.items()],
        "standardized": bool(model.get("standardization")),
        "intercept": model.get("fit_intercept") is not False,
        "several": bool(class_names(model)),
        "counted": is_counted(model),
        "smoothing": fmt(smoothing, 6) if smoothing else "",
        "smoothed_priors": bool(smoothing) and model.get("convention") == "spark",
    }


def _settings(model: dict[str, Any], config: dict[str, Any]) -> list[tuple[str, str]]:
    constant = model.get("constant_features") or []
    classes = model.get("classes") or []
    rows = [
        ("Data", data_text(model)),
        ("Penalty", penalty_name(model)),
        ("reg_param", shown(model.get("reg_param"))),
        ("elastic_net_param", shown(model.get("elastic_net_param"))),
        *_pairs(model.get("penalty_params")),
        ("Convention of the objective", shown(model.get("convention"))),
        (STANDARDIZED, shown(model.get("standardization"))),
        ("Intercept", intercept_text(model)),
        ("Solver", shown(model.get("solver"))),
        ("Why this solver", shown(model.get("why_solver"))),
        ("Storage of the features", shown(model.get("storage"))),
        ("Condition number", fmt(number(model.get("condition_number")), 3)),
        ("Largest curvature (lambda_max)", fmt(number(model.get("lambda_max")), 6)),
    ]
    if len(classes) == 2 and not class_names(model):
        rows.insert(1, ("Classes", f"{classes[0]} (negative), {classes[1]} (positive)"))
    elif classes:
        rows.insert(1, ("Classes", listed([str(name) for name in classes], 100)))
    if is_counted(model):
        rows = [row for row in rows if row[0] not in OF_PENALTIES]
    if config.get("sigma"):
        known = f"known, in the column {config['sigma']}: a row weighs 1/σ² times its weight"
        rows.insert(1, ("Standard deviation of the noise", known))
    if constant:
        rows.append(("Constant features, coefficient 0", shown(constant)))
    return rows


def _pairs(content: object) -> list[tuple[str, str]]:
    if not isinstance(content, dict):
        return []
    return [(name, shown(value)) for name, value in flat(content)]


def capitalized(text: str) -> str:
    """A sentence's first letter large; the rest as it is."""
    return text[:1].upper() + text[1:]
