"""Numbers and sentences."""

import math

import pytest

from tests.report.helpers import comparison, model
from w261reg.report import summary_rows
from w261reg.report.text import comparison_sentences, fmt


def test_summary_rows() -> None:
    rows = dict(summary_rows(model()))
    assert rows["Status"] == "Converged. The residual is below the tolerance."
    assert rows["Objective"] == "0.4321987654"
    assert rows["Optimality residual"] == "3.2e-09 (tolerance 1e-08)"
    assert rows["Non-zero coefficients"] == "2 of 4"
    assert rows["Work"] == "5 iterations, 7 passes over the data"
    weighted = dict(summary_rows(model(sum_of_weights=150.5, n_iter=1, n_passes=1)))
    assert weighted["Data"] == "12,000 rows, weights add up to 150.5"
    assert weighted["Work"] == "1 iteration, 1 pass over the data"
    assert all(isinstance(text, str) for pair in summary_rows({}) for text in pair)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 4, "0"),
        (-0.0, 4, "0"),
        (None, 4, "-"),
        (math.nan, 4, "-"),
        (-math.inf, 4, "-"),
        ("x", 4, "-"),
        (True, 4, "-"),
        (10**20, 4, "1e+20"),
        (12345, 2, "12,345"),
        (1.5, 4, "1.5"),
        (99.996, 4, "100"),
        (123456.78, 4, "123,457"),
        (-0.000123456, 3, "-0.000123"),
        (1e-8, 2, "1e-08"),
        (5e-324, 3, "4.94e-324"),
        (1.7e308, 3, "1.7e+308"),
    ],
)
def test_numbers(value: object, digits: int, text: str) -> None:
    assert fmt(value, digits) == text


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (2e-15, "are equal up to rounding"),
        (-2e-9, "pyspark.ml reached the lower objective: that of w261reg is 2e-09 higher"),
        (0.0, "exactly the same objective"),
        (None, "cannot be compared"),
    ],
)
def test_which_engine_is_lower(difference: float | None, words: str) -> None:
    other = comparison(model()) | {"objective_difference": difference}
    assert words in comparison_sentences(other)[0]
