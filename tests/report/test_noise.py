"""Groups of rows of different noise, and standard errors, on the page."""

from pathlib import Path
from typing import Any

from tests.report.helpers import model, report, result
from w261reg.report import summary_rows


def grouped(count: int, **changes: Any) -> dict[str, Any]:
    groups = [
        {"group": f"g{k}", "rows": 10 + k, "sum_of_weights": 2.5 * k + 1, "sigma": 0.5 + k}
        for k in range(count)
    ]
    return model(2, loss="mse", classes=None, noise_groups=groups, **changes)


def test_a_table_of_groups(tmp_path: Path) -> None:
    covariance = [[0.04, 0.0, 0.0], [0.0, None, 0.0], [0.0, 0.0, 0.09]]
    content = grouped(3, standard_errors=[0.2, None], covariance=covariance)
    page = report(result(tmp_path, content))
    assert page.row("g1") == ["g1", "11", "3.5", "1.5"]
    assert page.row("x0")[5] == "0.2"
    assert page.row("x1")[5] == "-"
    assert "-0.25 (standard error 0.3)" in page.row("Intercept")[1]
    assert "3 groups of rows, σ from 0.5 to 2.5" in page.text
    assert dict(summary_rows(content))["Noise"] == "3 groups of rows, σ from 0.5 to 2.5"
    assert "All groups" not in page.text


def test_many_groups_fold_away(tmp_path: Path) -> None:
    page = report(result(tmp_path, grouped(40)))
    assert "All groups" in page.text
    assert page.row("g39")[1] == "49"


def test_no_groups(tmp_path: Path) -> None:
    page = report(result(tmp_path, model()))
    assert "Noise" not in page.text
    assert "Noise" not in dict(summary_rows(model()))
    assert "standard error" not in page.text.lower()
