"""Result folders to report on, and a reader of the pages that come out."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from w261reg.report import write_report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What the tests look at in a page, and a check that its tags are balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[list[str]] = []
        self._open: list[str] = []
        source = path.read_text(encoding="utf-8")
        assert source.startswith("<!DOCTYPE html>")
        self.feed(source)
        self.close()
        assert self._open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.cells[-1][-1] += data.strip()

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def row(self, head: str) -> list[str]:
        """The one table row that has a cell `head` among its first two."""
        (found,) = [row for row in self.cells if head in row[:2]]
        return found

    def classes(self) -> set[str]:
        return {c for _, a in self.tags for c in (a.get("class") or "").split()}


def model(n: int = 4, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "format_version": 1,
        "loss": "bxe",
        "feature_names": [f"x{j}" for j in range(n)],
        "coefficients": [0.0 if j % 2 else 1.5 / (j + 1) for j in range(n)],
        "intercept": -0.25,
        "classes": ["no", "yes"],
        "label": "bought",
        "reg_param": 0.05,
        "elastic_net_param": 0.2,
        "convention": "spark",
        "l1": 0.01,
        "l2": 0.04,
        "fit_intercept": True,
        "standardization": True,
        "objective": 0.4321987654,
        "status": "converged",
        "message": "The residual is below the tolerance.",
        "optimality_residual": 3.21e-9,
        "tol": 1e-8,
        "suboptimality_bound": 4.5e-13,
        "standard_errors": None,
        "n_iter": 5,
        "n_passes": 7,
        "solver": "newton",
        "why_solver": "Few features.",
        "rows": 12000,
        "sum_of_weights": 12000.0,
        "constant_features": [],
        "condition_number": 12.5,
        "library_versions": {"numpy": "2.0.0"},
        "standard_deviations": [2.0] * n,
    }
    return content | changes


HISTORY = (
    "iteration,objective,residual,step,passes,seconds\n"
    "0,0.69,0.5,,2,0.1\n1,0.45,1e-3,1.0,3,0.2\n2,0.4321987655,1e-6,1.0,4,0.3\n"
    "3,0.4321987654,3.2e-9,1.0,5,0.4\n"
)


def comparison(content: dict[str, Any], shift: float = 1e-7) -> dict[str, Any]:
    pairs = zip(content["feature_names"], content["coefficients"], strict=True)
    engine = {
        "objective": 0.4321987654,
        "metrics": {"auc": 0.875},
        "n_iter": 5,
        "n_passes": 7,
        "seconds": 1.25,
        "intercept": -0.25,
        "status": "converged",
        "version": "0.1.0",
    }
    theirs = {"objective": 0.4321987754, "n_iter": 33, "n_passes": None, "seconds": 4.75}
    return {
        "problem": {"rows": 12000},
        "engines": {"w261reg": engine, "pyspark.ml": engine | theirs},
        "coefficients": [
            {"feature": name, "w261reg": v, "pyspark.ml": v if v in (0, None) else v + shift}
            for name, v in pairs
        ],
        "objective_difference": 1e-8,
        "max_coefficient_difference": 6.6e-8,
        "note": "pyspark.ml ran with its default tolerance.",
    }


def result(
    folder: Path,
    content: dict[str, Any] | None = None,
    *,
    history: str = HISTORY,
    compared: bool | dict[str, Any] = False,
) -> Path:
    content = model() if content is None else content
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "history.csv").write_text(history, encoding="utf-8")
    metrics = {"train": {"rows": 12000, "log_loss": 0.41, "auc": 0.875, "accuracy": None}}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "config.toml").write_text('seed = 20261\nloss = "bxe"\ntol = 1e-8\n')
    if compared:
        other = compared if isinstance(compared, dict) else comparison(content)
        (folder / "comparison.json").write_text(json.dumps(other), encoding="utf-8")
    return folder


def assert_stands_alone(page: Page) -> None:
    """One file, accessible: nothing fetched, no script, anchors that lead somewhere."""
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/png;base64,iVBOR")
            assert len(attributes["alt"] or "") > 20
        else:
            assert "src" not in attributes
        if "href" in attributes:
            href = attributes["href"] or ""
            assert href.startswith("#") and href[1:] in ids
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1
    assert "http" not in "".join(str(a) for _, a in page.tags)
    assert all("scope" in head for head in page.all("th"))


def report(folder: Path) -> Page:
    page = Page(write_report(folder))
    assert_stands_alone(page)
    return page


def drawn(folder: Path) -> list[str]:
    """Names of the figures that the last report wrote."""
    return sorted(path.stem for path in (folder / "figures").iterdir())


def bare(folder: Path, **changes: Any) -> Path:
    """A result folder without anything to draw, for tests of the words: drawing takes the time."""
    return result(folder, model(**{"coefficients": None} | changes), history="")
