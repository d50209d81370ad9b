"""Bad input: one clear line, exit code 2, and nothing written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import Run, model_of, names_in, refused, table

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("no_figures")]

FIT = ("--label", "y", "--features", "a,b,c", "--loss", "bxe", "--reg-param", "0.1")
Write = Callable[[Path], Path]


def csv(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Write:
    """Writes the table after a change as CSV."""

    def write(folder: Path) -> Path:
        change(table()).to_csv(folder / "t.csv", index=False)
        return folder / "t.csv"

    return write


def parquet(change: Callable[[pd.DataFrame], Any]) -> Write:
    """Writes the table after a change as Parquet of four row groups."""

    def write(folder: Path) -> Path:
        changed = change(table())
        if isinstance(changed, pd.DataFrame):
            changed = pa.Table.from_pandas(changed, preserve_index=False)
        pq.write_table(changed, folder / "t.parquet", row_group_size=25)
        return folder / "t.parquet"

    return write


def text(content: str | bytes, name: str = "t.csv") -> Write:
    """Writes a file of this content."""

    def write(folder: Path) -> Path:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        return folder / name

    return write


def truncated(folder: Path) -> Path:
    path = parquet(lambda t: t)(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def damaged(folder: Path) -> Path:
    """A Parquet file whose footer is whole and whose pages are not."""
    path = parquet(lambda t: t)(folder)
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    return path


def put(column: str, value: Any, *rows: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object if isinstance(value, str) else float)
        frame.loc[list(rows), column] = value
        return frame

    return change


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


DATA: dict[str, tuple[Write, tuple[str, ...], tuple[str, ...]]] = {
    # name: (data, further arguments, what the line says)
    "no file": (lambda folder: folder / "t.csv", (), ("data not found", "t.csv")),
    "empty folder": (lambda folder: folder, (), ("is a folder without data files",)),
    "no label column": (
        csv(lambda t: t.drop(columns="y")), (), ("label column 'y' is not in", "a, b")),
    "no feature": (csv(lambda t: t.drop(columns="b")), (), ("feature column 'b' is not in",)),
    "no weight": (csv(same), ("--weight", "v"), ("weight column 'v' is not in",)),
    "feature is text": (csv(same), ("--features", "a,word"), ("'word' is not numeric",)),
    "feature is a date": (
        parquet(lambda t: t.assign(a=pd.Timestamp("2024-01-01"))), (), ("'a' is not numeric",)),
    "feature is a list of text": (
        parquet(lambda t: pa.table({**t.to_dict("list"), "a": [["x"]] * len(t)})), (),
        ("'a' is not numeric",)),
    "label is text": (csv(same), ("--label", "word", "--loss", "mse"), ("'word' is not numeric",)),
    "weight is text": (csv(same), ("--weight", "word"), ("'word' is not numeric",)),
    "text label and no positive": (csv(same), ("--label", "word"), ("'word'", "positive")),
    "-1 and 1 and no positive": (
        csv(same), ("--label", "sign"), ("'sign' holds -1, 1", "positive")),
    "positive not a label": (
        csv(same), ("--label", "word", "--positive", "maybe"), ("'maybe'", "no, yes")),
    "positive not a number": (csv(same), ("--positive", "yes"), ("'yes' is not a number",)),
    "positive of a regression": (csv(same), ("--loss", "mse", "--positive", "1"), ("positive",)),
    "three labels": (csv(put("y", 2, 5)), (), ("3 values (0, 1, 2)",)),
    "three words": (
        csv(put("word", "perhaps", 5)), ("--label", "word", "--positive", "yes"),
        ("3 values (no, perhaps, yes)",)),
    "many labels": (csv(same), ("--label", "response"), ("'response' has", "values")),
    "one class": (csv(lambda t: t.assign(y=1)), (), ("one class only: 1",)),
    "one word": (
        csv(lambda t: t.assign(word="yes")), ("--label", "word", "--positive", "yes"),
        ("one class only: yes",)),
    "one class of weight": (
        csv(lambda t: t.assign(w=t.y)), ("--weight", "w"), ("one class only: 1",)),
    "NaN": (parquet(put("b", np.nan, 3, 50)), (), ("feature column 'b' has 2", "in 80 rows")),
    "infinity": (
        parquet(put("c", np.inf, 3, 30, 79)), (), ("feature column 'c' has 3 infinite values",)),
    "null": (csv(put("a", np.nan, 7)), (), ("feature column 'a' has 1 null value in 80 rows",)),
    "label null": (csv(put("y", np.nan, 7)), (), ("label column 'y' has 1 null value",)),
    "label infinite": (
        parquet(put("response", np.inf, 7)), ("--label", "response", "--loss", "mse"),
        ("label column 'response' has 1 infinite value",)),
    "text label null": (
        csv(put("word", "", 7, 8)), ("--label", "word", "--positive", "yes"), ("'word' has",)),
    "weight NaN": (parquet(put("w", np.nan, 9)), ("--weight", "w"), ("weight column 'w' has 1",)),
    "two columns": (
        csv(lambda t: put("b", np.inf, 1)(put("a", np.nan, 7)(t))), (), ("'a' has 1", "'b' has 1")),
    "weight < 0": (
        csv(put("w", -0.5, 4, 40)), ("--weight", "w"),
        ("weight column 'w' has 2 negative values",)),
    "weights 0": (csv(lambda t: t.assign(w=0)), ("--weight", "w"), ("'w' is 0 in every row",)),
    "header only": (csv(lambda t: t[:0]), (), ("no rows",)),
    "Parquet of no rows": (parquet(lambda t: t[:0]), (), ("no rows",)),
    "empty file": (text(""), (), ("is empty",)),
    "empty LIBSVM": (
        text("", "t.libsvm"), ("--features", "features", "--label", "label"), ("no rows",)),
    "ragged": (text("a,b,c,y\n1,2,3,0\n1,2,3\n2,3,4,1\n"), (), ("Expected 4 columns, got 3",)),
    "two columns of a name": (text("a,b,c,a,y\n1,2,3,4,0\n"), (), ("two columns named 'a'",)),
    "text below the head": (
        text("a,b,c,y\n" + "1,2,3,0\n1,3,3,1\n" * 80_000 + "1,oops,3,0\n"), (),
        ("column 'b' holds 'oops', which is not a number",)),
    "ragged below the head": (
        text("a,b,c,y\n" + "1,2,3,0\n1,3,3,1\n" * 80_000 + "1,3,0\n"), (),
        ("Expected 4 columns, got 3",)),
    "not Parquet": (text("a,b,c,y\n1,2,3,0\n", "t.parquet"), (), ("is not Parquet",)),
    "empty Parquet": (text("", "t.parquet"), (), ("is not Parquet",)),
    "truncated Parquet": (truncated, (), ("is not Parquet",)),
    "damaged Parquet": (damaged, (), ("t.parquet", "cannot be read")),
    "not CSV": (text(b"\x00\x01\xff\xfe" * 500, "t.csv"), (), ("t.csv",)),
    "not gzip": (text("a,b,c,y\n1,2,3,0\n", "t.csv.gz"), (), ("t.csv.gz",)),
    "not LIBSVM": (
        text("1 1:2\n0 1:x\n", "t.libsvm"), ("--features", "features", "--label", "label"),
        ("is not LIBSVM", "0 1:x")),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_data(run: Run, tmp_path: Path, out: Path, name: str) -> None:
    write, more, says = DATA[name]
    (tmp_path / "in").mkdir()
    refused(run("train", write(tmp_path / "in"), *FIT, *more, "--out", out), *says)
    assert names_in(out.parent) == []


SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "reg-param < 0": (("--reg-param", "-1"), ("reg_param must be >= 0", "-1")),
    "reg-param nan": (("--reg-param", "nan"), ("reg_param", "nan")),
    "reg-param inf": (("--reg-param", "inf"), ("reg_param", "inf")),
    "reg-param text": (("--reg-param", "much"), ("reg_param", "'much'")),
    "mix > 1": (("--elastic-net-param", "1.5"), ("elastic_net_param must be in [0, 1]", "1.5")),
    "mix < 0": (("--elastic-net-param", "-0.1"), ("elastic_net_param must be in [0, 1]",)),
    "mix nan": (("--elastic-net-param", "nan"), ("elastic_net_param", "nan")),
    "loss": (("--loss", "hunge"), ("loss must be one of bxe", "'hunge'")),
    "solver": (("--solver", "magic"), ("solver must be one of adagrad", "'magic'")),
    "convention": (("--convention", "mllib"), ("convention must be one of", "'mllib'")),
    "step 0": (("--solver", "gd", "--step-size", "0"), ("step_size must be > 0",)),
    "step < 0": (("--step-size", "-1"), ("step_size must be > 0",)),
    "step nan": (("--step-size", "nan"), ("step_size",)),
    "step for newton": (
        ("--solver", "newton", "--step-size", "1"), ("step_size is for solver adagrad, adam, gd",)),
    "step text for newton": (("--solver", "newton", "--step-size", "x"), ("step_size",)),
    "step-rule for auto": (
        ("--step-rule", "inverse"), ("step_rule is for solver adagrad, adam, gd", "not auto")),
    "step-rule for newton": (
        ("--solver", "newton", "--step-rule", "inverse"), ("step_rule is for solver", "newton")),
    "step-rule unknown": (
        ("--solver", "gd", "--step-rule", "fast"),
        ("step_rule of solver gd must be one of constant, inverse, inverse_sqrt, armijo", "fast")),
    "step-rule armijo for adam": (
        ("--solver", "adam", "--step-rule", "armijo"),
        ("step_rule of solver adam must be one of constant, inverse, inverse_sqrt", "'armijo'")),
    "step-size with armijo": (
        ("--solver", "gd", "--step-rule", "armijo", "--step-size", "0.1"),
        ("step_size must not be given with step_rule armijo", "0.1")),
    "batch-rows for gd": (
        ("--solver", "gd", "--batch-rows", "8"),
        ("batch_rows is for solver adagrad, adam, momentum, nesterov, sgd, not gd", "8")),
    "batch-rows for auto": (("--batch-rows", "8"), ("batch_rows is for solver", "not auto")),
    "batch-rows 0": (
        ("--solver", "sgd", "--batch-rows", "0"), ("batch_rows must be an integer >= 1", "0")),
    "batch-rows 1.5": (
        ("--solver", "sgd", "--batch-rows", "1.5"), ("batch_rows must be an integer", "1.5")),
    "seed without batches": (
        ("--solver", "adam", "--seed", "1"), ("seed is for mini-batches", "batch_rows", "adam")),
    "seed for newton": (("--solver", "newton", "--seed", "1"), ("seed is for", "newton")),
    "seed < 0": (("--solver", "sgd", "--seed", "-1"), ("seed must be an integer in [0,", "-1")),
    "seed text": (("--solver", "sgd", "--seed", "x"), ("seed must be an integer", "'x'")),
    "seed too large": (
        ("--solver", "sgd", "--seed", str(2**63)), ("seed must be an integer in [0,",)),
    "tol below 0": (("--tol=-1e-9",), ("tol must be >= 0, not -1e-09",)),
    "tol nan": (("--tol", "nan"), ("tol",)),
    "max-iter < 0": (("--max-iter", "-1"), ("max_iter must be an integer >= 0",)),
    "max-iter 1.5": (("--max-iter", "1.5"), ("max_iter must be an integer >= 0",)),
    "depth 0": (("--aggregation-depth", "0"), ("aggregation_depth must be an integer >= 1",)),
    "storage float16": (("--storage", "float16"), ("storage", "float16", "float32, float64")),
    "storage of nothing": (("--storage", ""), ("storage",)),
    "collect-bytes < 0": (
        ("--collect-bytes", "-1"), ("collect_bytes must be an integer >= 0",)),
    "collect-bytes 1.5": (
        ("--collect-bytes", "1.5"), ("collect_bytes must be an integer >= 0",)),
    "smooth-param < 0": (("--smooth-param", "-1"), ("smooth_param must be >= 0", "-1")),
    "smooth-param text": (("--smooth-param", "much"), ("smooth_param", "'much'")),
    "an order of nothing": (
        ("--smooth-order", "a,b"), ("smooth_order is for smooth_param", "a, b")),
    "an order of one": (
        ("--smooth-param", "1", "--smooth-order", "a"), ("smooth_order", "at least two", "'a'")),
    "an order with a name twice": (
        ("--smooth-param", "1", "--smooth-order", "a,b,a"), ("smooth_order", "'a' twice")),
    "an order with the label": (
        ("--smooth-param", "1", "--smooth-order", "a,y"), ("smooth_order", "'y' is not one")),
    "an empty name in an order": (
        ("--smooth-param", "1", "--smooth-order", "a,,b"), ("smooth_order must be column names",)),
    "label as feature": (("--features", "a,y"), ("features must not include", "'y'")),
    "feature twice": (("--features", "a,b,a"), ("'a' twice",)),
    "empty feature": (("--features", "a,,b"), ("features must be column names",)),
    "gram for bxe": (("--solver", "gram"), ("gram needs a quadratic loss",)),
    "newton with L1": (("--solver", "newton", "--elastic-net-param", "1"), ("newton", "L1")),
    "newton for hinge": (
        ("--loss", "hinge", "--solver", "newton"), ("newton needs a loss with a derivative",)),
    "pegasos for bxe": (("--solver", "pegasos"), ("pegasos is for loss hinge, not bxe",)),
    "pegasos without a penalty": (
        ("--loss", "hinge", "--solver", "pegasos", "--reg-param", "0"), ("reg_param > 0",)),
    "pegasos with L1": (
        ("--loss", "hinge", "--solver", "pegasos", "--elastic-net-param", "0.5"),
        ("pegasos needs", "elastic_net_param 0")),
    "glmnet for hinge": (
        ("--loss", "hinge", "--convention", "glmnet"), ("glmnet has no loss hinge",)),
    "homework for squared hinge": (
        ("--loss", "squared_hinge", "--convention", "homework"),
        ("homework has no loss squared_hinge",)),
    "homework with L1": (
        ("--convention", "homework", "--elastic-net-param", "1"), ("homework", "must be 0")),
    "C of 0": (("--convention", "sklearn", "--reg-param", "0"), ("reg_param", "must be > 0")),
    "no label": (("--label", ""), ("label",)),
    "another master": (("--master", "local[7]"), ("local[7]",)),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(run: Run, data: Path, out: Path, name: str) -> None:
    given, says = SETTINGS[name]
    refused(run("train", data, *FIT, *given, "--out", out), *says)
    assert names_in(out.parent) == []


def test_compare_with_a_penalty_that_pyspark_has_not(run: Run, data: Path, out: Path) -> None:
    refused(run("compare", data, *FIT, "--smooth-param", "1", "--out", out), "no smooth_param")
    assert names_in(out.parent) == []


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("missing", ["data", "label", "loss", "out"])
def test_what_is_required(run: Run, data: Path, out: Path, command: str, missing: str) -> None:
    given = {"--label": "y", "--loss": "bxe", "--out": str(out)}
    given.pop(f"--{missing}", None)
    arguments = [part for pair in given.items() for part in pair]
    refused(run(command, *([] if missing == "data" else [data]), *arguments), missing)
    assert names_in(out.parent) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("train", "t.csv", "--no-such-option"),
        ("trian",),
        ("train", "t.csv", "u.csv"),
        ("train", "t.csv", "--label"),
        ("predict", "m"),
        ("evaluate", "m", "t.csv"),
        ("train", "t.csv", "--reg", "1"),  # an abbreviation would mean another thing one day
    ],
)
def test_usage(run: Run, arguments: tuple[str, ...]) -> None:
    refused(run(*arguments))


# --- outputs ------------------------------------------------------------------------------------


def test_output_exists(run: Run, data: Path, out: Path) -> None:
    out.mkdir()
    (out / "model.json").write_text("mine")
    refused(run("train", data, *FIT, "--out", out), "exists already", str(out))
    assert (out / "model.json").read_text() == "mine"
    assert names_in(out.parent) == [out.name, f"{out.name}/model.json"]


def test_overwriting_what_is_no_result(run: Run, data: Path, out: Path) -> None:
    (out / "holidays").mkdir(parents=True)
    (out / "holidays" / "photo").write_text("mine")
    before = names_in(out.parent)
    says = "does not hold a result"
    refused(run("train", data, *FIT, "--out", out, "--overwrite"), says)
    refused(run("compare", data, *FIT, "--out", out, "--overwrite"), says)
    assert names_in(out.parent) == before
    assert (out / "holidays" / "photo").read_text() == "mine"


def test_overwriting_a_file_with_a_folder(run: Run, data: Path, out: Path) -> None:
    out.write_text("mine")
    refused(run("train", data, *FIT, "--out", out, "--overwrite"), str(out))
    assert out.read_text() == "mine"
    assert names_in(out.parent) == [out.name]


def test_a_failed_run_leaves_the_old_result(run: Run, data: Path, out: Path) -> None:
    assert run("train", data, *FIT, "--out", out).code == 0
    before = {name: (out / name).read_bytes() for name in names_in(out)}
    put("a", np.inf, 3)(table()).to_csv(data, index=False)
    refused(run("train", data, *FIT, "--out", out, "--overwrite"), "'a' has 1 infinite")
    assert {name: (out / name).read_bytes() for name in names_in(out)} == before
    assert names_in(out.parent)[0] == out.name


def test_unwritable_output(run: Run, data: Path, out: Path) -> None:
    (out.parent / "file").write_text("mine")
    refused(
        run("train", data, *FIT, "--out", out.parent / "file" / "r"), "cannot be written", "file"
    )
    long = out.parent / ("r" * 300)
    refused(run("train", data, *FIT, "--out", long), "cannot be written")
    assert names_in(out.parent) == ["file"]


# --- models -------------------------------------------------------------------------------------


@pytest.fixture
def model(run: Run, data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    assert run("train", data, *FIT, "--out", folder).code == 0
    return folder / "model.json"


def changed(model: Path, **values: Any) -> None:
    model.write_text(json.dumps({**model_of(model.parent), **values}))


MODELS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "missing": (lambda m: m.unlink(), ("model not found",)),
    "truncated": (lambda m: m.write_text(m.read_text()[:-50]), ("not a whole model.json",)),
    "empty": (lambda m: m.write_text(""), ("not a whole model.json",)),
    "binary": (lambda m: m.write_bytes(b"\xff\xfe\x00"), ("not a whole model.json",)),
    "a list": (lambda m: m.write_text("[1, 2]"), ("no format_version",)),
    "another document": (lambda m: m.write_text('{"a": 1}'), ("no format_version",)),
    "newer": (lambda m: changed(m, format_version=99), ("format_version 99", "upgrade")),
    "version text": (lambda m: changed(m, format_version="1"), ("format_version",)),
    "version 0": (lambda m: changed(m, format_version=0), ("format_version",)),
    "version true": (lambda m: changed(m, format_version=True), ("format_version",)),
    "no coefficients": (lambda m: changed(m, coefficients=None), ("'coefficients'",)),
    "too few coefficients": (lambda m: changed(m, coefficients=[1.0, 2.0]), ("3 feature names",)),
    "coefficients text": (lambda m: changed(m, coefficients=["a", "b", "c"]), ("wrong types",)),
    "intercept text": (lambda m: changed(m, intercept="a"), ("wrong types",)),
    "intercept null": (lambda m: changed(m, intercept=None), ("not finite",)),
    "coefficient null": (lambda m: changed(m, coefficients=[1, None, 2]), ("not finite",)),
    "loss unknown": (lambda m: changed(m, loss="hunge"), ("hunge",)),
    "classes three": (lambda m: changed(m, classes=[0, 1, 2]), ("classes",)),
    "classes null": (lambda m: changed(m, classes=None), ("classes",)),
    "names number": (lambda m: changed(m, feature_names=3), ("wrong types",)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models(run: Run, model: Path, data: Path, tmp_path: Path, name: str) -> None:
    damage, says = MODELS[name]
    damage(model)
    out = tmp_path / "results" / "p.csv"
    out.parent.mkdir()
    refused(run("predict", model, data, "--out", out), *says)
    refused(run("evaluate", model, data, "--label", "y"), *says)
    refused(
        run("train", data, *FIT, "--warm-start", model, "--out", out.with_name("r")),
        *says,
    )
    assert names_in(out.parent) == []


def test_warm_start_of_other_features(run: Run, model: Path, data: Path, out: Path) -> None:
    given = (*FIT, "--features", "a,b", "--warm-start", model, "--out", out)
    refused(run("train", data, *given), "warm_start", "'c'")
    assert names_in(out.parent) == []


PREDICT: dict[str, tuple[Write, str, tuple[str, ...]]] = {
    "no feature": (csv(lambda t: t.drop(columns="b")), "p.csv", ("'b' of the model is not in",)),
    "no features": (
        csv(lambda t: t.drop(columns=["a", "b"])), "p.csv", ("'a' and 1 more of the model",)),
    "NaN": (parquet(put("b", np.nan, 60)), "p.parquet", ("feature column 'b' has 1 ",)),
    "null": (csv(put("b", np.nan, 60, 61)), "p.csv", ("feature column 'b' has 2 null values",)),
    "infinity": (parquet(put("c", -np.inf, 2)), "p.csv", ("'c' has 1 infinite value",)),
    "text": (csv(put("c", "oops", 70)), "p.csv", ("'c'", "not",)),
    "text in Parquet": (
        parquet(lambda t: t.assign(c=t.c.map(str))), "p.csv", ("'c' is not numeric",)),
    "no rows": (csv(lambda t: t[:0]), "p.csv", ("no rows",)),
    "no rows in Parquet": (parquet(lambda t: t[:0]), "p.csv", ("no rows",)),
    "no file": (lambda folder: folder / "t.csv", "p.csv", ("not found",)),
    "damaged": (damaged, "p.csv", ("cannot be read",)),
    "ending": (csv(same), "p.txt", ("must end in .csv or .parquet", "p.txt")),
    "no ending": (csv(same), "p", ("must end in .csv or .parquet",)),
    "column taken": (csv(lambda t: t.assign(prediction=1)), "p.csv", ("'prediction'",)),
}  # fmt: skip


@pytest.mark.parametrize("name", PREDICT)
def test_predict(run: Run, model: Path, tmp_path: Path, name: str) -> None:
    write, target, says = PREDICT[name]
    (tmp_path / "new").mkdir()
    (tmp_path / "results").mkdir()
    data = write(tmp_path / "new")
    refused(run("predict", model, data, "--out", tmp_path / "results" / target), *says)
    assert names_in(tmp_path / "results") == []


@pytest.mark.parametrize(
    "name", ["no feature", "NaN", "text", "text in Parquet", "no rows", "damaged"]
)
def test_evaluate(run: Run, model: Path, tmp_path: Path, name: str) -> None:
    write, _, says = PREDICT[name]
    (tmp_path / "new").mkdir()
    refused(run("evaluate", model, write(tmp_path / "new"), "--label", "y"), *says)


def test_predict_into_a_folder(run: Run, model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").mkdir()
    refused(run("predict", model, data, "--out", tmp_path / "p.csv", "--overwrite"), "folder")
    (tmp_path / "file").write_text("")
    refused(run("predict", model, data, "--out", tmp_path / "file" / "p.csv"), "cannot be written")


# --- configuration ------------------------------------------------------------------------------

CONFIGS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "unknown key": ("regparam = 1", ("regparam",)),
    "not TOML": ("reg_param: 1", ("is not TOML",)),
    "not text": (b"\xff\xfe\x00", ("is not TOML",)),
    "text for a number": ('reg_param = "much"', ("reg_param", "'much'")),
    "bool for a number": ("reg_param = true", ("reg_param",)),
    "number for a bool": ("fit_intercept = 1", ("fit_intercept must be true or false",)),
    "number for text": ("label = 3", ("label must be text",)),
    "number for a switch": ("strict = 1", ("strict must be true or false",)),
    "text for a switch": ('no_intercept = "no"', ("intercept", "true or false")),
    "a table": ("[train]\nreg_param = 1", ("train",)),
    "order": ("smooth_param = 1.0\nsmooth_order = [1, 2]", ("smooth_order must be column names",)),
    "features": ("features = [1, 2]", ("features must be column names",)),
    "warm start": ("warm_start = 3", ("warm_start",)),
    "positive": ("positive = [1]", ("positive",)),
    "float for an integer": ("max_iter = 2.5", ("max_iter must be an integer",)),
    "config in config": ('config = "x.toml"', ("config",)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations(run: Run, data: Path, out: Path, tmp_path: Path, name: str) -> None:
    content, says = CONFIGS[name]
    config = tmp_path / "run.toml"
    config.write_bytes(content if isinstance(content, bytes) else content.encode())
    given: list[str] = ["--label", "y", "--features", "a,b,c", "--loss", "bxe", "--out", str(out)]
    for option in ("label", "features"):
        if str(content).startswith(f"{option} "):
            at = given.index(f"--{option}")
            del given[at : at + 2]
    refused(run("train", data, *given, "--config", config), *says)
    assert names_in(out.parent) == []


def test_no_configuration(run: Run, data: Path, out: Path) -> None:
    refused(run("train", data, *FIT, "--out", out, "--config", out / "x.toml"), "config", "x.toml")
