"""Tables and arrays of this process."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from tests.sources.helpers import leaves_of, matrix_of, problem, rows_of
from w261reg import train
from w261reg.blocks import SparseBlock
from w261reg.errors import InputError
from w261reg.sources import Columns, TableSource, array_source
from w261reg.sources import memory as memory_module

VECTOR = Columns(("features",), ("x1", "x2", "x3", "x4"), vector=True, label="label")


def test_leaves_depend_on_the_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(100).frame
    monkeypatch.setattr(memory_module, "leaf_rows", lambda width: 16)
    whole = pa.Table.from_pandas(given, preserve_index=False)
    chunked = pa.concat_tables([whole[:7], whole[7:50], whole[50:]])
    for table in (given, whole, chunked):
        source = TableSource(table)
        read = source.read(source.handles(4), None, [])
        assert [batch.num_rows for _, batch in read] == [16] * 6 + [4]
        pd.testing.assert_frame_equal(rows_of(source), given)


def test_names_of_pandas_columns_become_text() -> None:
    frame = pd.DataFrame({0: [1.0, 2.0], 1: [3.0, 4.0]}, index=[5, 9])
    assert TableSource(frame).schema.names == ["0", "1"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8, bool])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense_matrix(dtype: type, order: str) -> None:
    given = problem(30)
    x = np.asarray(np.round(given.x), dtype=dtype, order=order)  # type: ignore[call-overload]
    source, label, weight = array_source(x, given.y, None)
    assert (label, weight) == ("label", None)
    leaves = leaves_of(source, VECTOR)
    np.testing.assert_array_equal(matrix_of(leaves), x.astype(float))


def test_a_view_of_a_matrix_is_read_as_it_looks() -> None:
    given = problem(30)
    source, _, _ = array_source(given.x[::-3, ::-1], given.y[::-3], None)
    np.testing.assert_array_equal(matrix_of(leaves_of(source, VECTOR)), given.x[::-3, ::-1])


def test_the_callers_matrix_is_not_changed() -> None:
    given = problem(30)
    x = given.x + 100.0  # of one sign and narrow: blocks take an origin off
    before = x.copy()
    (_, block) = leaves_of(array_source(x, given.y, None)[0], VECTOR)[0]
    np.testing.assert_array_equal(block.dot(np.eye(4), np.zeros(4)), before)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix])
def test_sparse_matrix(form: str, make: type) -> None:
    given = problem(30)
    source, _, _ = array_source(make(given.x).asformat(form), given.y, None)
    leaves = leaves_of(source, VECTOR)
    assert all(isinstance(block, SparseBlock) for _, block in leaves)
    np.testing.assert_array_equal(matrix_of(leaves), given.x)


def test_sparse_matrix_with_duplicates_and_unsorted_indices() -> None:
    x = sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([3, 0, 3]), np.array([0, 3])))
    before = x.indices.copy()
    leaves = leaves_of(array_source(x, np.array([1.0]), None)[0], VECTOR)
    np.testing.assert_array_equal(matrix_of(leaves), [[2.0, 0.0, 0.0, 5.0]])
    np.testing.assert_array_equal(x.indices, before)


@pytest.mark.parametrize(
    ("x", "label", "weight", "says"),
    [
        (np.zeros(3), np.zeros(3), None, r"shape \(3,\)"),
        (np.zeros((2, 2, 2)), np.zeros(2), None, "must be a matrix"),
        ([["a", "b"]], np.zeros(1), None, "matrix of real numbers"),
        ([[1.0], [1.0, 2.0]], np.zeros(2), None, "matrix of numbers"),
        ([[10**400], [1]], np.zeros(2), None, "matrix of numbers"),
        (np.ones((2, 1)), np.array([10**400, 1], object), None, "label must be numbers or text"),
        (np.zeros((3, 2)), np.zeros(2), None, r"label must have one value a row \(3\)"),
        (np.zeros((3, 2)), np.zeros((3, 1)), None, "label must have one value a row"),
        (np.zeros((3, 2)), np.zeros(3), np.ones(4), "weight must have one value a row"),
    ],
)
def test_shapes_that_do_not_fit(x: object, label: object, weight: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        array_source(x, label, weight)


MATRIX, LABELS = problem(40).x, problem(40).y


def odd_numbers(values: np.ndarray) -> list[object]:
    """The same numbers, as people have them."""
    big = values.astype(">f8")
    return [big, values.astype(np.longdouble), values.astype(object), np.ma.masked_array(values)]


@pytest.mark.parametrize("form", range(4))
def test_odd_numbers_are_the_same_numbers(form: int) -> None:
    plain = train(MATRIX, LABELS, loss="bxe", reg_param=0.1)
    odd = train(odd_numbers(MATRIX)[form], odd_numbers(LABELS)[form], loss="bxe", reg_param=0.1)
    np.testing.assert_array_equal(odd.weights, plain.weights)


def test_what_is_masked_is_missing() -> None:
    mask = np.zeros(40, bool)
    mask[3] = True
    x = np.ma.masked_array(MATRIX, np.column_stack([mask] * 4))
    with pytest.raises(InputError, match="'features' has 4 NaN values"):
        train(x, LABELS, loss="bxe", reg_param=0.1)
    with pytest.raises(InputError, match="'label' has 1 null value"):
        train(MATRIX, np.ma.masked_array(LABELS, mask), loss="bxe", reg_param=0.1)


@pytest.mark.parametrize("kind", ["M8[s]", "m8[s]", "m8[ns]", "U", "S"])
def test_times_and_text_are_no_numbers(kind: str) -> None:
    """As columns of a table are not; a date that is missing would be -2^63."""
    odd = np.round(MATRIX).astype(np.int64).astype(kind)
    for x in (odd, np.ma.masked_array(odd)):
        with pytest.raises(InputError, match="data must be a matrix of real numbers, not"):
            train(x, LABELS, loss="bxe", reg_param=0.1)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_an_imaginary_part_is_not_dropped(make: type) -> None:
    with pytest.raises(InputError, match="real numbers, not complex128"):
        train(make(MATRIX + 0j), LABELS, loss="bxe")
    with pytest.raises(InputError, match="label must be real numbers"):
        train(MATRIX, LABELS + 1j, loss="bxe")


def test_a_pandas_answer_keeps_what_was_given() -> None:
    given = problem(40).frame
    model = train(given, "label", loss="bxe", reg_param=0.1)
    shuffled = given.sample(frac=0.5, random_state=1).rename_axis("row")
    shuffled["id"] = pd.array([2**60 + 1] * 19 + [None], dtype="Int64")
    shuffled["odd"] = pd.Series([object(), 1j] * 10, shuffled.index, dtype=object)
    shuffled["kind"] = pd.Categorical(["u", "v"] * 10)
    found = model.predict(shuffled)
    pd.testing.assert_frame_equal(found[list(shuffled)], shuffled)
    whole = model.predict(given)["probability"].loc[shuffled.index]
    np.testing.assert_allclose(found["probability"], whole, rtol=1e-14)
    assert found.index.equals(shuffled.index)
    assert found.index.name == "row"


def test_unused_columns_may_be_anything_and_names_may_repeat() -> None:
    given = problem(40).frame
    objects = pd.DataFrame({"z": [object()] * 40})
    odd = pd.concat([given, objects, given[["x1"]].set_axis(["z"], axis=1)], axis=1)
    model = train(odd, "label", features=["x1", "x2"], loss="bxe", reg_param=0.1)
    assert list(model.predict(odd)) == [*odd, "prediction", "probability"]
    with pytest.raises(InputError, match="two columns named 'z'"):
        train(odd, "label", loss="bxe")
    with pytest.raises(InputError, match="'z' holds object values, no numbers"):
        train(odd.iloc[:, :6], "label", loss="bxe")


def test_names_that_are_no_text() -> None:
    given = problem(40).frame.set_axis(range(5), axis=1)
    model = train(given, 4, features=[0, 2], loss="bxe", reg_param=0.1)
    assert model.feature_names == ("0", "2")
    assert list(model.predict(given)) == [*range(5), "prediction", "probability"]
    with pytest.raises(InputError, match="not a Series"):
        model.predict(given.iloc[0])


def test_categories_that_are_numbers_are_numbers() -> None:
    given = problem(40).frame
    plain = train(given, "label", loss="bxe", reg_param=0.1)
    categories = given.astype({"label": "category", "x1": "category"})
    odd = train(categories, "label", loss="bxe", reg_param=0.1)
    np.testing.assert_array_equal(odd.weights, plain.weights)


def test_features_may_have_the_names_of_predictions() -> None:
    given = problem(40).frame.rename(columns={"x1": "prediction", "x2": "probability"})
    model = train(given, "label", loss="bxe", reg_param=0.1)
    assert list(model.predict(given))[-2:] == ["prediction_2", "probability_2"]
    named = model.predict(given, prediction_column="mine")
    assert list(named)[-2:] == ["mine", "mine_probability"]
    with pytest.raises(InputError, match="prediction_column 'x3': the data has a column 'x3'"):
        model.predict(given, prediction_column="x3")


def test_a_list_is_no_feature_of_a_model_of_columns() -> None:
    given = problem(40).frame
    model = train(given, "label", loss="bxe", reg_param=0.1)
    with pytest.raises(InputError, match="feature column 'x2' and 2 more"):
        model.predict(given[["x1"]].assign(clicks=pd.Series([[1.0] * 4] * 40)))
    by_position = model.predict(given[list(model.feature_names)].to_numpy())
    np.testing.assert_array_equal(by_position, model.predict(given)["prediction"])


def test_integers_of_an_arrow_table_stay_exact() -> None:
    given = pa.Table.from_pandas(problem(4).frame)
    model = train(problem(40).frame, "label", loss="bxe", reg_param=0.1)
    found = model.predict(given.append_column("id", pa.array([2**60 + 1, None, 3, 4])))
    assert found["id"].iloc[0] == 2**60 + 1


class Located(pd.DataFrame):
    """A DataFrame of another library, as of geopandas."""

    @property
    def _constructor(self) -> type["Located"]:
        return Located


def test_a_frame_of_another_class_is_a_frame() -> None:
    plain = pd.DataFrame({"a": [1.0, 2.0, 4.0], "y": [1.0, 3.0, 2.0]})
    model = train(Located(plain), label="y", loss="mse")
    assert list(model.weights) == list(train(plain, label="y", loss="mse").weights)
    pd.testing.assert_frame_equal(pd.DataFrame(model.predict(Located(plain))), model.predict(plain))
