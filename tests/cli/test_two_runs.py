"""Two runs that write to one place: the second is refused at once, before it starts Spark."""

import shutil
from pathlib import Path

import pytest

from tests.cli.helpers import Run, names_in, refused, table
from w261reg import train
from w261reg.files import filled, reserved

pytestmark = pytest.mark.usefixtures("no_figures")
FIT = ("--label", "y", "--features", "a,b", "--loss", "bxe", "--reg-param", "0.1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def session(*_: object, **__: object) -> None:
        pytest.fail("Spark was started")

    monkeypatch.setattr("w261reg.workflows.session", session)
    monkeypatch.setattr("w261reg.opening.session", session)
    return Run(capsys)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("second", ["train", "compare", "predict"])
def test_the_second_is_refused(run: Run, tmp_path: Path, second: str, overwrite: bool) -> None:
    frame, folder = table(), second != "predict"
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = train(frame[["a", "b", "y"]], "y", loss="bxe", reg_param=0.1)
    out = tmp_path / "results" / ("r" if folder else "p.csv")
    out.parent.mkdir()
    model.save(tmp_path / "m")
    if overwrite and folder:
        model.save(out)
    elif overwrite:
        out.write_text("old")
    given = (tmp_path / "m", tmp_path / "t.csv") if not folder else (tmp_path / "t.csv", *FIT)
    with reserved(out, overwrite, folder) as place:
        while_it_ran = names_in(out.parent)
        more = ["--overwrite"] * overwrite
        refused(run(second, *given, "--out", out, *more), "is being written by another run")
        assert names_in(out.parent) == while_it_ran
        with filled(place) as partial:  # the first goes on
            if folder:
                shutil.copy(tmp_path / "m" / "model.json", partial)
            else:
                partial.write_text("new")
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert (out / "model.json").exists() if folder else out.read_text() == "new"
