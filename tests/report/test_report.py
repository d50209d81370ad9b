"""The page: it stands alone, says the truth about the answer, and survives odd input."""

import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import w261reg.report
from tests.report.helpers import (
    HISTORY,
    Page,
    assert_stands_alone,
    bare,
    comparison,
    drawn,
    model,
    report,
    result,
)
from w261reg.errors import InputError
from w261reg.report import summary_rows, write_combined_report, write_report
from w261reg.report.result import read_result


def test_further_penalties(tmp_path: Path) -> None:
    given = {"smooth_param": 0.25, "smooth_order": ["x2", "x0"], "own_param": 3.0, "off": 0.0}
    page = report(result(tmp_path / "both", model(penalty_params=given)))
    for part in (
        "elastic net and smoothness and own_param penalty",
        "dj² wj² + 0.25 / 2 · Σk (wk − wk+1)² + own_param of strength 3 The objective",
        "so these terms do not depend on the units",
        "in their natural order (x2, x0); differences",
    ):
        assert part in page.text, part
    assert page.row("smooth_order") == ["smooth_order", "x2, x0"]
    alone = report(result(tmp_path / "alone", model(l1=0.0, l2=0.0, penalty_params=given)))
    bare = report(result(tmp_path / "bare", model(l1=0.0, l2=0.0)))
    assert "There is no penalty" not in alone.text
    assert "There is no penalty" in bare.text
    assert page.row("smooth_param") == ["smooth_param", "0.25"]


def test_page_says_how_good_the_answer_is(tmp_path: Path) -> None:
    page = report(result(tmp_path, compared=True))
    for part in (
        "Logistic regression of bought on 4 features, elastic net penalty",
        "The residual is below the tolerance.",
        "Here it is 3.2e-09, within the tolerance 1e-08.",
        "The objective is at most 4.5e-13 above the optimum, 1e-12 of its value.",
        "mean binary cross entropy + 0.01 Σj dj |wj| + 0.04 / 2 · Σj dj² wj²",
        "w261reg reached the lower objective: that of pyspark.ml is 1e-08 higher",
        "differ by at most 6.6e-08 of the largest one",
        "pyspark.ml ran with its default tolerance.",
    ):
        assert part in page.text
    assert {"status", "good"} <= page.classes()
    assert "invalid" not in page.classes()
    assert page.row("x0") == ["1", "x0", "1.5", "2", "3", "1.5", "1e-07"]
    assert page.row("x1") == ["2", "x1", "0", "2", "0", "0", "0"]
    assert page.row("Objective") == ["Objective", "0.4321987654", "0.4321987754"]
    assert page.row("Passes over the data") == ["Passes over the data", "7", "-"]
    assert page.row("Accuracy") == ["Accuracy", "-"]
    assert page.row("seed") == ["seed", "20261"]  # a name, not a quantity: no separator
    assert page.row("numpy") == ["numpy", "2.0.0"]
    alts = " ".join(image["alt"] or "" for image in page.all("img"))
    for part in (
        "goes from 0.5 to 3.2e-09; the tolerance is 1e-08.",
        "led by x0 with 3.",
        "2 of 4 coefficients differ",
        "pyspark.ml 4.75 s, 33 iterations, - passes",
    ):
        assert part in alts


def test_title(tmp_path: Path) -> None:
    page = Page(write_report(bare(tmp_path), title="Mine & <yours>"))
    assert page.text.startswith("Mine & <yours>")
    assert "Logistic regression of bought" in page.text


def test_text_from_files_is_escaped(tmp_path: Path) -> None:
    bad = "<script>alert('1')</script> & \"q\""
    content = model(2, feature_names=[bad, "$a_b$"], message=bad, label=bad, classes=[bad, "1"])
    other = comparison(content) | {"note": bad}
    page = report(result(tmp_path, content, compared=other))  # asserts there is no script tag
    assert page.row(bad)[1] == bad
    assert page.text.count(bad) >= 4
    assert any(bad in (image["alt"] or "") for image in page.all("img"))


@pytest.mark.parametrize("status", ["separated", "diverged"])
def test_no_solution_is_obvious(tmp_path: Path, status: str) -> None:
    content = model(status=status, message="It runs away.", optimality_residual=None)
    page = report(result(tmp_path, content))
    assert {"bad", "invalid", "warning"} <= page.classes()
    assert "good" not in page.classes()
    assert "Not a solution. These numbers are the last point of the run." in page.text
    assert "above the optimum" not in page.text  # the bound belongs to no solution
    (alt,) = [i["alt"] or "" for i in page.all("img") if "Bar chart" in (i["alt"] or "")]
    assert alt.startswith("Not a solution.")


def test_stopped_early_and_unknown_status(tmp_path: Path) -> None:
    page = report(bare(tmp_path / "a", status="max_iter", optimality_residual=0.02))
    assert "warn" in page.classes()
    assert "Here it is 0.02, above the tolerance 1e-08." in page.text
    page = report(bare(tmp_path / "b", status="<odd>"))
    assert "unknown" in page.classes() and "<odd>" in page.text


def test_one_row_of_history_is_a_closed_form(tmp_path: Path) -> None:
    history = "\n".join(HISTORY.splitlines()[:2]) + "\n"
    content = model(loss="mse", classes=None, n_passes=1, n_iter=1, l1=0)
    folder = result(tmp_path, content, history=history)
    page = report(folder)
    assert "The answer came in closed form from one pass over the data" in page.text
    assert "F(w, b) = ½ mean squared error + 0.04 / 2" in page.text
    assert drawn(folder) == ["coefficients"]


def test_null_and_huge_values(tmp_path: Path) -> None:
    values = [None, 1e308, math.inf, -1e-308]
    content = model(coefficients=values, objective=None, intercept=None, status="diverged")
    content |= {"optimality_residual": math.nan, "condition_number": math.inf}
    other = comparison(model()) | {"objective_difference": None}
    folder = result(tmp_path, content, compared=other)
    page = report(folder)
    assert page.row("x0")[2] == "-" and page.row("x2")[2] == "-"
    assert page.row("Condition number")[1] == "-"
    assert "cannot be compared" in page.text
    nothing = report(bare(tmp_path / "n", standard_deviations=None))
    assert nothing.row("x0")[2:5] == ["-", "-", "-"]


def test_only_the_model_is_needed(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"feature_names": ["a"], "coefficients": [1]}))
    page = report(tmp_path)
    assert page.row("a")[2:] == ["1", "-", "-"]
    assert "No history was recorded." in page.text


def test_all_zero_and_one_feature(tmp_path: Path) -> None:
    folder = result(tmp_path / "zero", model(3, coefficients=[0.0, 0, -0.0]))
    page = report(folder)
    assert drawn(folder) == ["convergence"]
    assert [page.row(f"x{j}")[2] for j in range(3)] == ["0", "0", "0"]
    one = report(result(tmp_path / "one", model(1), history=""))
    assert "on 1 feature," in one.text


def test_comparison_is_joined_by_name_and_survives_equal_names(tmp_path: Path) -> None:
    content = model(2, feature_names=["a", "b"], coefficients=[1.0, 2.0])
    other = comparison(content, shift=0.5)
    other["coefficients"].reverse()
    found = read_result(result(tmp_path / "r", content, compared=other)).coefficients
    assert [c.other for c in found] == [1.5, 2.5]
    twice = model(2, feature_names=["a", "a"], coefficients=[1.0, 2.0])
    found = read_result(result(tmp_path / "t", twice, compared=True)).coefficients
    assert [c.other for c in found] == [1.0 + 1e-7, 2.0 + 1e-7]


def test_five_thousand_features(tmp_path: Path) -> None:
    names = [f"a_feature_${j}$_" + "n" * 64 + str(j) for j in range(5000)]
    values = [0.0] * 4000 + [1e-3 * j for j in range(1, 1001)]
    content = model(5000, feature_names=names, coefficients=values)
    folder = result(tmp_path, content, compared=True)
    page = report(folder)
    assert "All 5,000 coefficients" in page.text
    rows = [row for row in page.cells if len(row) > 1 and row[1] in (names[0], names[-1])]
    assert [row[0] for row in rows] == ["5000", "1", "5000"]  # among the largest, then all
    assert len(page.all("details")) == 4
    assert (folder / "report.html").stat().st_size < 3_000_000
    alts = [image["alt"] or "" for image in page.all("img")]
    assert any("1,000 of 5,000 coefficients differ" in alt for alt in alts)


def of_classes(n: int, k: int, **changes: Any) -> dict[str, Any]:
    """A model of classes c0, c1, ...: the coefficient of feature j for class k is j + k / 1000."""
    coefficients = [[j + c / 1000 for c in range(k)] for j in range(n)]
    names = [f"c{c}" for c in range(k)]
    given = {
        "coefficients": coefficients,
        "classes": names,
        "intercept": [float(c) for c in range(k)],
    }
    return model(n, loss="cxe", **{**given, **changes})


def test_a_column_of_coefficients_a_class(tmp_path: Path) -> None:
    content = of_classes(2, 3, coefficients=[[1.0, 2.0, 0.0], [0.0, 3.0, -0.5]])
    page = report(result(tmp_path, content))
    assert page.row("Feature") == ["#", "Feature", "c0", "c1", "c2", "Sd of feature"]
    assert page.row("x1") == ["2", "x1", "0", "3", "-0.5", "2"]
    assert page.row("Intercept")[1] == "0 (c0), 1 (c1), 2 (c2)"
    assert page.row("Classes")[1] == "c0, c1, c2"
    (alt,) = [image["alt"] for image in page.all("img") if "Map" in (image["alt"] or "")]
    assert alt == "Map of the coefficients of 2 features by 3 classes, led by x1 for c1 with 6."
    facts = dict(summary_rows(content))
    assert facts["Problem"].startswith("Softmax regression of bought (3 classes) on 2 features")
    assert facts["Classes"] == "3: c0, c1, c2"
    assert facts["Non-zero coefficients"] == "4 of 6"
    assert "Σjk" in page.text.replace(" ", "")


def test_confusion(tmp_path: Path) -> None:
    folder = result(tmp_path, of_classes(2, 3))
    confusion = [[5.0, 1.0, 0.0], [0.0, 0.0, 0.0], [4.0, 0.0, 10.0]]
    metrics = {"train": {"rows": 20, "accuracy": 0.75, "confusion": confusion}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = report(folder)
    (alt,) = [image["alt"] for image in page.all("img") if "labels" in (image["alt"] or "")]
    assert alt == (
        "Map of 3 labels by predictions: 75 % of the rows lie on the diagonal; most often c2 is "
        "taken for c0, by weight 4."
    )
    assert "confusion" in drawn(folder)
    assert not [row for row in page.cells if row[0] == "confusion"]
    assert page.row("Accuracy")[1] == "0.75"
    metrics["train"]["confusion"] = [[None]]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    report(folder)
    assert "confusion" not in drawn(folder)


def test_many_classes_have_a_row_for_each_coefficient(tmp_path: Path) -> None:
    page = report(result(tmp_path, of_classes(3, 25)))
    assert page.row("x1 [c7]")[:3] == ["2", "x1 [c7]", "1.007"]
    assert "All 75 coefficients" in page.text
    assert any("Bar chart" in (image["alt"] or "") for image in page.all("img"))
    assert "10 (c10), 11 (c11) and 13 more" in page.row("Intercept")[1]


def test_the_largest_of_very_many_coefficients(tmp_path: Path) -> None:
    page = report(result(tmp_path, of_classes(300, 20)))
    assert "The 5,000 largest of 6,000 coefficients" in page.text
    shown = {row[1] for row in page.cells if len(row) > 4}
    assert "x299 [c19]" in shown
    assert "x0 [c1]" not in shown


def test_the_words_of_naive_bayes(tmp_path: Path) -> None:
    shares = [[-1.0, -1.5, -2.0], [-7.0, -7.0, -7.0]]
    changes = {"loss": "naive_bayes", "solver": "counts", "l1": 0.0, "l2": 0.0, "n_passes": 2}
    content = of_classes(2, 3, coefficients=shares, standard_deviations=[None, None])
    content |= {**changes, "penalty_params": {"smoothing": 0.5}}
    page = report(result(tmp_path, content, history=HISTORY.split("1,")[0]))
    facts = dict(summary_rows(content))
    assert facts["Problem"] == (
        "Naive Bayes of bought (3 classes) on 2 features, Laplace smoothing"
    )
    assert "Non-zero coefficients" not in facts
    assert "Non-zero" not in page.text
    assert not [row for row in page.cells if row[0] in ("reg_param", "Penalty")]
    assert page.row("smoothing")[1] == "0.5"
    assert "0.5 its pseudo-count (Laplace smoothing)" in page.text
    assert "to each of which 0.5 is added as pyspark.ml does" in page.text
    assert "The answer came in closed form from 2 passes over the data" in page.text
    assert "how far the shares of a class are from adding up to 1" in page.text
    # a feature that is as frequent in every class tells nothing, however rare it is
    (alt,) = [image["alt"] for image in page.all("img") if "Map" in (image["alt"] or "")]
    assert alt == "Map of the coefficients of 1 feature by 3 classes, led by x0 for c0 with 0.5."
    content["convention"] = "sklearn"
    assert "as pyspark.ml does" not in report(result(tmp_path, content)).text


def test_combined_report(tmp_path: Path) -> None:
    folders = [
        result(tmp_path / "r1" / "lasso", compared=True),
        result(tmp_path / "r2" / "lasso", model(status="separated", l1=0, l2=0)),
        result(tmp_path / "plain"),
    ]
    path = write_combined_report(tmp_path / "new" / "all", folders, title="All <of> them")
    assert path == tmp_path / "new" / "all" / "report.html"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    page = Page(path)
    assert_stands_alone(page)
    assert page.text.startswith("All <of> them")
    head = next(row for row in page.cells if row and row[0] == "Problem")
    rows = {row[0]: row for row in page.cells if len(row) == len(head)}
    assert set(rows) == {"Problem", "r1/lasso", "r2/lasso", "plain"}
    assert rows["r1/lasso"] == [
        "r1/lasso", "binary cross entropy", "elastic net", "Converged", "0.432199", "3.2e-09",
        "2 of 4", "7", "1.25", "1e-08", "33", "4.75",
    ]  # fmt: skip
    assert rows["r2/lasso"][2:4] == ["none", "Separated"]
    assert rows["plain"][8:] == ["0.4", "-", "-", "-"]  # seconds of the history
    links = {a["href"] for a in page.all("a")}
    assert links == {"#result-1", "#result-2", "#result-3", "#top"}
    assert len(page.all("img")) == 4 + 2 + 2


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no model\.json"):
        write_report(tmp_path)
    folder = result(tmp_path / "a", model(coefficients=[1.0]))
    with pytest.raises(InputError, match="4 feature names for 1 coefficients"):
        write_report(folder)
    folder = result(tmp_path / "b")
    (folder / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics\.json is not valid JSON"):
        write_report(folder)


def test_works_from_a_zip_without_spark_or_pyplot(tmp_path: Path) -> None:
    package = Path(w261reg.report.__file__).parent
    archive = tmp_path / "w261reg.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        # An empty package: the report needs nothing of w261reg but to read files, and its errors.
        packed.writestr("w261reg/__init__.py", "")
        for name in ("errors.py", "documents.py", "schema.py"):
            packed.write(package.parent / name, f"w261reg/{name}")
        for path in package.iterdir():
            if path.is_file():
                packed.write(path, f"w261reg/report/{path.name}")
    folder = result(tmp_path / "result", compared=True)
    code = (
        "import sys, pathlib, w261reg.report as r\n"
        "assert '.zip' in r.__file__, r.__file__\n"
        "r.write_report(pathlib.Path(sys.argv[1]))\n"
        "print(sorted(m for m in ('pyspark', 'matplotlib.pyplot', 'pandas') if m in sys.modules))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert len(Page(folder / "report.html").all("img")) == 4
