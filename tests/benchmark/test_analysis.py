"""Numbers worked out by hand, and the report of them."""

from pathlib import Path
from typing import Any

import pytest

from w261reg.benchmark.analysis import RATIO_COLUMNS, RATIOS, SUMMARY, SUMMARY_COLUMNS, analyse
from w261reg.benchmark.plot import plot, table
from w261reg.benchmark.records import Records, read_records
from w261reg.benchmark.run import COLUMNS, MICRO, MICRO_COLUMNS, RESULTS
from w261reg.errors import InputError


def row(
    engine: str, repeat: int, seconds: float | None, temperature: str = "cold", **more: Any
) -> Any:
    return {
        "problem": "p", "engine": engine, "temperature": temperature, "repeat": repeat,
        "seconds": seconds, "objective": 2.0, "gap": 0.0, "reached": True, "iterations": 3,
        "peak_mb": 100.0 + repeat, "tol": 1e-6, "error": "", "rows": 1000, "features": 9,
        "nnz": 9.0, "versions": '{"lib": "1.0"}', "cores": 2, "memory_gb": 8.0, "cpu": "c",
        "os": "o", "master": "local[2]", **more,
    }  # fmt: skip


ROWS = [
    row("w261reg", 0, 2.0), row("w261reg", 0, 1.0, "warm"),
    row("other", 0, 8.0, objective=2.0 + 1e-6), row("other", 0, 3.0, "warm", objective=2.0),
    row("w261reg", 1, 4.0), row("w261reg", 1, 1.5, "warm"),
    row("other", 1, 8.0), row("other", 1, 3.0, "warm"),
    row("w261reg", 2, 5.0), row("w261reg", 2, 2.0, "warm"),
    row("other", 2, 5.0), row("other", 2, 3.0, "warm"),
    row("broken", 0, None, objective=None, peak_mb=None, error="MemoryError: <b>"),
]  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    records = Records(tmp_path / RESULTS, COLUMNS)
    for line in ROWS:
        records.append(line)
    return tmp_path


def test_ratios_are_taken_within_a_repeat(out: Path) -> None:
    analyse(out)
    ratios = {
        (r["engine"], r["temperature"], r["baseline"]): tuple(
            float(r[k]) for k in ("repeats", "ratio", "low", "high")
        )
        for r in read_records(out / RATIOS, RATIO_COLUMNS)
    }
    assert ratios == {
        ("w261reg", "warm", "cold"): (3, 0.4, 0.375, 0.5),
        ("other", "cold", "cold"): (3, 2.0, 1.0, 4.0),  # 8/2, 8/4, 5/5; of the medians: 8/4
        ("other", "warm", "cold"): (3, 0.75, 0.6, 1.5),
        ("other", "warm", "warm"): (3, 2.0, 1.5, 3.0),
    }


def test_summary(out: Path) -> None:
    analyse(out)
    rows = {
        (r["engine"], r["temperature"]): r for r in read_records(out / SUMMARY, SUMMARY_COLUMNS)
    }
    ours = rows["w261reg", "cold"]
    assert [float(ours[k]) for k in ("seconds", "low", "high", "peak_mb")] == [4.0, 2.0, 5.0, 102.0]
    assert (ours["reached"], float(ours["gap"])) == ("True", 0.0)
    other = rows["other", "cold"]
    assert float(other["gap"]) == pytest.approx(5e-7, rel=1e-6)  # the worst repeat
    assert other["reached"] == "False"
    broken = rows["broken", "cold"]
    assert (broken["repeats"], broken["errors"], broken["seconds"]) == ("0", "1", "nan")
    assert broken["reached"] == "False"


def test_report(out: Path) -> None:
    analyse(out)
    Records(out / MICRO, MICRO_COLUMNS).append(
        {"kernel": "dsyrk", "value": "12.5", "unit": "GFlop/s", "about": "one thread"}
    )
    page = plot(out).read_text(encoding="utf-8")
    assert (out / "figures" / "p.png").read_bytes().startswith(b"\x89PNG")
    for text in ("4.00", "2.00..5.00", "objective not reached", "lib 1.0", "12.5", "local[2]",
                 "MemoryError: &lt;b&gt;", "2 cores, 8.0 GiB"):  # fmt: skip
        assert text in page
    lines = table(out).splitlines()
    assert len(lines) == 6
    assert [line.split()[1:3] for line in lines[1:3]] == [["w261reg", "cold"], ["w261reg", "warm"]]


def test_a_step_without_the_one_before_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results\.csv is not there"):
        analyse(tmp_path)


def test_a_line_that_was_cut_off_is_dropped(out: Path) -> None:
    path = out / RESULTS
    whole = path.read_bytes()
    path.write_bytes(whole + b"p,other,co")
    records = Records(path, COLUMNS)
    assert len(records.rows) == len(ROWS)
    assert path.read_bytes() == whole
    records.append(row("other", 3, 1.0))
    assert records.has(problem="p", engine="other", repeat=3)
    assert not records.has(problem="p", engine="other", repeat=4)
    assert len(read_records(path, COLUMNS)) == len(ROWS) + 1
