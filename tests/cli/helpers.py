"""The command line, run in this process, and what it said."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from w261reg.cli import main

ROOT = Path(__file__).parents[2]
IONOSPHERE = ROOT / "data" / "ionosphere.csv"
DIABETES = ROOT / "data" / "diabetes.csv"
NOISE = ("Traceback", "py4j", "org.apache", "java.", "WARN", "INFO ")


@dataclass(frozen=True)
class Answer:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.lines if line.startswith("warning: ")]

    def ok(self) -> "Answer":
        assert self.code == 0, self.err
        assert "error: " not in re.sub(r"^solver .*$", "", self.err, flags=re.MULTILINE)
        return self


class Run:
    """`run("train", path, "--label", "y")`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: Any) -> Answer:
        self.capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = self.capsys.readouterr()
        return Answer(code, captured.out, captured.err)


def refused(answer: Answer, *says: str) -> str:
    """The one line of an error of the user's: exit code 2, and nothing but lines of ours."""
    assert answer.code == 2, answer
    errors = [line for line in answer.lines if re.match(r"w261reg( \w+)?: error: ", line)]
    assert len(errors) == 1, answer.err
    assert answer.lines[-1] == errors[0]
    assert answer.out == ""
    assert not [noise for noise in NOISE if noise in answer.err], answer.err
    assert "internal error" not in errors[0]
    for part in says:
        assert part in errors[0], errors[0]
    return errors[0]


def model_of(folder: Path) -> dict[str, Any]:
    """model.json as a reader that knows no NaN reads it."""

    def strict(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    document: dict[str, Any] = json.loads(
        (folder / "model.json").read_text(), parse_constant=strict
    )
    return document


def names_in(folder: Path) -> list[str]:
    """All files below a folder; what is left over shows here."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def table(rows: int = 80, seed: int = 1) -> pd.DataFrame:
    """Columns a, b, c, w (weights), y (0, 1), sign (-1, 1), word (no, yes), response."""
    generator = np.random.default_rng(seed)
    x = np.round(generator.normal(size=(rows, 3)), 3)
    z = x @ [1.5, -1.0, 0.0] + generator.logistic(size=rows)
    y = (z > 0).astype(int)
    return pd.DataFrame(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            "c": x[:, 2],
            "w": np.round(generator.gamma(2.0, size=rows), 2),
            "y": y,
            "sign": 2 * y - 1,
            "word": np.where(y == 1, "yes", "no"),
            "response": np.round(z, 4),
        }
    )
