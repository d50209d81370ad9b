"""The forms in which Spark and Hadoop write paths."""

from pathlib import Path

import pytest

from w261reg.errors import InputError
from w261reg.sources import open_path
from w261reg.sources.frame import without_globs
from w261reg.sources.paths import guarded, local_form


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
    ],
)
def test_local_forms(given: str, wanted: str) -> None:
    assert local_form(given) == wanted


@pytest.mark.parametrize("given", ["dbfs:/x", "hdfs:/x", "s3a:/x"])
def test_forms_that_are_not_known(given: str) -> None:
    with pytest.raises(InputError, match=f"out {given}"):
        local_form(given, "out")


def test_data_of_such_a_form(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,2\n")
    assert open_path(f"file:{tmp_path}/t.csv").schema.names == ["a", "y"]


def test_globs_are_names() -> None:
    assert without_globs("/a?b/c[1]/{x}*") == r"/a\?b/c\[1\]/\{x\}\*"


@pytest.mark.parametrize("error", [OSError("a\nb"), MemoryError(), ZeroDivisionError("x" * 999)])
def test_whatever_a_library_raises_is_one_line(error: Exception) -> None:
    with pytest.raises(InputError) as caught, guarded("data x"):
        raise error
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
