"""The forms in which Spark and Hadoop write paths."""

from pathlib import Path

import numpy as np
import pytest

from w261reg import load, train
from w261reg.config import read_toml
from w261reg.errors import InputError
from w261reg.files import check_other, local_form
from w261reg.sources import open_path
from w261reg.sources.frame import without_globs
from w261reg.sources.paths import guarded


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("file:/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("FILE://localhost/a", "/a"),
        ("file:///a%20b", "/a b"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("/a:b/c", "/a:b/c"),
        ("a.csv", "a.csv"),
        ("./file:a.csv", "./file:a.csv"),
        ("plan 9:a.csv", "plan 9:a.csv"),
    ],
)
def test_local_forms(given: str, wanted: str) -> None:
    assert local_form(given) == wanted


@pytest.mark.parametrize(
    "given", ["dbfs:/x", "hdfs:/x", "s3a:/x", "file:x", "FILE:x/y", "hdfs:x", "dbfs:"]
)
def test_forms_that_are_not_known(given: str) -> None:
    with pytest.raises(InputError, match=f"out {given}"):
        local_form(given, "out")


def test_data_of_such_a_form(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    assert open_path(f"file:{tmp_path}/t.csv").schema.names == ["a", "y"]


def test_all_that_is_read_may_have_such_a_form(tmp_path: Path) -> None:
    """Models, where fits start, constraints and configurations, as data and results."""
    x = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 4.0]])
    (tmp_path / "c.csv").write_text("x1,rhs\n0.5,1\n")
    (tmp_path / "c.toml").write_text("tol = 1e-6\n")
    train(x, x[:, 0], loss="mse").save(f"file:{tmp_path}/a")
    for form in (f"file:{tmp_path}", f"file://{tmp_path}", f"FILE:{tmp_path}"):
        assert load(f"{form}/a").weights.shape == (2,)
        assert load(f"{form}/a/model.json").weights.shape == (2,)
        train(x, x[:, 0], loss="mse", warm_start=f"{form}/a")
        bound = train(x, x[:, 0], loss="mse", constraints=f"{form}/c.csv")
        assert bound.weights[0] == pytest.approx(2.0, abs=1e-12)
        assert read_toml(f"{form}/c.toml") == {"tol": 1e-6}


def test_the_data_in_another_form_is_the_data(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,y\n1,2\n")
    for form in (f"file:{table}", f"file://{table}", f"FILE:{table}", str(table)):
        with pytest.raises(InputError, match="is the data"):
            check_other(str(table), form)


def test_globs_are_names() -> None:
    assert without_globs("/a?b/c[1]/{x}*") == r"/a\?b/c\[1\]/\{x\}\*"


@pytest.mark.parametrize("error", [OSError("a\nb"), MemoryError(), ZeroDivisionError("x" * 999)])
def test_whatever_a_library_raises_is_one_line(error: Exception) -> None:
    with pytest.raises(InputError) as caught, guarded("data x"):
        raise error
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
