"""Code that a model or a configuration names is executed only where the user says so."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w261reg import InputError, load, own, train
from w261reg.cli import main
from w261reg.report import write_report

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
Y = X @ [1.0, -2.0] + 0.1 * RNG.normal(size=60)

STRANGER = """
from pathlib import Path
from w261reg import Loss
Path(__file__).with_suffix(".ran").write_text("")


class Cubic(Loss):
    def value(self, y, z):
        return (z - y[:, None]) ** 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A model of mse, and a Python file beside it."""
    train(X, Y, loss="mse").save(tmp_path / "m")
    (tmp_path / "m" / "loss.py").write_text(STRANGER)
    with pytest.MonkeyPatch.context() as patch:  # what was executed is forgotten
        patch.setattr(own, "_TERMS", dict(own._TERMS))
        patch.setattr(own, "_MODULES", dict(own._MODULES))
        yield tmp_path / "m"


def named(folder: Path, name: str) -> None:
    """The model's loss is this, with the file's true sha256."""
    document = json.loads((folder / "model.json").read_text())
    sha256 = hashlib.sha256((folder / "loss.py").read_bytes()).hexdigest()
    document |= {"loss": name, "own_sources": {name: sha256}}
    (folder / "model.json").write_text(json.dumps(document))


def test_what_lies_in_a_folder_is_executed_only_if_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, path = X, Y, folder / "loss.py"
    ran = path.with_suffix(".ran")
    for name in (f"{path}:Cubic", "m/loss.py:Cubic", "m/../m/loss.py:Cubic"):
        monkeypatch.chdir(tmp_path)
        named(folder, name)
        model: Any = load(tmp_path / "m")
        write_report(tmp_path / "m")
        assert model.summary() and model.to_dict() and model._repr_html_()
        train(x, y, loss="mse", solver="newton", warm_start=str(tmp_path / "m"))
        for use in (
            lambda m=model: m.predict(x),
            lambda m=model: m.predictor,
            lambda m=model: replace(m, own_sources={**m.own_sources}).loss_object,
        ):
            with pytest.raises(InputError, match="executed only if you say so") as caught:
                use()
            assert name in str(caught.value)
        assert not ran.exists()
    assert load(tmp_path / "m", trust=True).predict(x).shape == (len(x),)
    assert ran.exists()
    assert load(tmp_path / "m").predict(x).shape == (len(x),)  # this process has run it by now


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_the_command_line_names_what_it_refuses(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Before it looks at any data."""
    named(folder, f"{folder}/loss.py:Cubic")
    more = {"predict": ["--out", str(tmp_path / "p.csv")], "evaluate": ["--label", "y"]}[command]
    assert main([command, str(folder), str(tmp_path / "no.csv"), *more]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in (f"{folder}/loss.py:Cubic", "--trust", "--loss"):
        assert part in said
    assert not (folder / "loss.ran").exists()
    assert main([command, str(folder), str(tmp_path / "no.csv"), *more, "--trust"]) == 2
    assert "data not found" in capsys.readouterr().err
    assert (folder / "loss.ran").exists()


@pytest.mark.parametrize("key", ["loss", "penalty"])
@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_configuration_is_not_a_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, key: str
) -> None:
    """config.toml of a result is a stranger's, too; `trust` is no setting in it."""
    config = folder / "config.toml"
    lines = [f'{key} = "{folder}/loss.py:Cubic"', 'label = "y"', f'data = "{tmp_path}/no.csv"']
    lines += ['loss = "mse"', "penalty_param = 1.0"] if key == "penalty" else []
    config.write_text("\n".join(lines))
    arguments = [command, "--config", str(config), "--out", str(tmp_path / "r")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in (f"{folder}/loss.py:Cubic", "--trust", f"--{key}"):
        assert part in said
    assert not (folder / "loss.ran").exists()
    config.write_text("\n".join(["trust = true", *lines]))
    assert main(arguments) == 2
    assert not (folder / "loss.ran").exists()
    config.write_text("\n".join(lines))
    assert main([*arguments, "--trust"]) == 2
    assert (folder / "loss.ran").exists()
    assert not (tmp_path / "r").exists()
