"""Cross entropy of several classes, against scipy and against two classes."""

import numpy as np
import pytest
from scipy import special

from w261reg.losses.bxe import BinaryCrossEntropy
from w261reg.losses.cxe import CrossEntropy

H = float(np.finfo(float).eps ** (1 / 3))


def labels_and_predictors(classes: int, models: int = 1, size: float = 3.0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    y = rng.integers(0, classes, 40).astype(float)
    return y, size * rng.normal(size=(40, models * classes))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_values_and_derivatives(classes: int) -> None:
    loss = CrossEntropy(classes)
    y, z = labels_and_predictors(classes, models=2)
    value, derivative, curvature = loss.all(y, z)
    own = np.eye(classes)[y.astype(int)]
    for j in range(2):
        at = z[:, j * classes : (j + 1) * classes]
        wanted = special.logsumexp(at, axis=1) - (at * own).sum(axis=1)
        np.testing.assert_allclose(value[:, j], wanted, rtol=1e-13, atol=1e-15)
        slope = derivative[:, j * classes : (j + 1) * classes]
        np.testing.assert_allclose(slope, special.softmax(at, axis=1) - own, 1e-12, 1e-15)
    np.testing.assert_array_equal(loss.value(y, z), value)
    np.testing.assert_array_equal(loss.derivative(y, z), derivative)
    np.testing.assert_array_equal(loss.curvature(y, z), curvature)
    np.testing.assert_allclose(
        loss.mean(z[:, :classes]), special.softmax(z[:, :classes], axis=1), rtol=1e-13
    )


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_curvature_is_a_graph(classes: int) -> None:
    loss = CrossEntropy(classes)
    y, z = labels_and_predictors(classes)
    curvature, edges = loss.curvature(y, z), loss.edges
    assert (curvature >= 0).all()
    assert edges.shape == (classes * (classes - 1) // 2, classes)
    second = np.einsum("be,ek,ej->bkj", curvature, edges, edges)
    p = special.softmax(z, axis=1)
    wanted = p[:, :, None] * (np.eye(classes) - p[:, None, :])
    np.testing.assert_allclose(second, wanted, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        loss.diagonal(y, z), np.einsum("bkk->bk", wanted), rtol=1e-12, atol=1e-15
    )
    assert np.linalg.eigvalsh(second).max() <= loss.most_curved * (1 + 1e-14)
    assert np.linalg.norm(loss.derivative(y, z), axis=1).max() <= loss.steepest
    for k in range(classes):
        step = H * np.eye(classes)[k]
        slope = (loss.value(y, z + step) - loss.value(y, z - step))[:, 0] / (2 * H)
        np.testing.assert_allclose(slope, loss.derivative(y, z)[:, k], rtol=1e-8, atol=1e-9)
        bend = (loss.derivative(y, z + step) - loss.derivative(y, z - step)) / (2 * H)
        np.testing.assert_allclose(bend, second[:, k], rtol=1e-7, atol=1e-9)


def test_third_derivative_is_bounded_by_the_second() -> None:
    """|l'''| <= (max_e |a_e'v|) l'' along any v, which the certificate needs."""
    loss, rng = CrossEntropy(4), np.random.default_rng(8)
    y, z = labels_and_predictors(4)
    for _ in range(20):
        v = rng.normal(size=4)
        spread = v.max() - v.min()

        def second(t: float, v=v) -> np.ndarray:  # type: ignore[no-untyped-def]
            return np.asarray(loss.curvature(y, z + t * v) @ (loss.edges @ v) ** 2)

        third = (second(1e-5) - second(-1e-5)) / 2e-5
        assert (np.abs(third) <= spread * second(0.0) + 1e-8).all()


def test_two_classes_are_binary() -> None:
    rng = np.random.default_rng(4)
    y, z = rng.integers(0, 2, 30).astype(float), rng.normal(size=(30, 1)) * 30
    two = CrossEntropy(2).all(y, np.hstack([np.zeros_like(z), z]))
    one = BinaryCrossEntropy().all(y, z)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-14)
    np.testing.assert_allclose(two[1][:, [1]], one[1], rtol=1e-14)
    np.testing.assert_allclose(two[2], one[2], rtol=1e-14)
    np.testing.assert_allclose(
        CrossEntropy(2).margin(y, np.hstack([np.zeros_like(z), z])),
        BinaryCrossEntropy().margin(y, z),
    )


@pytest.mark.filterwarnings("error")
def test_far_out() -> None:
    loss = CrossEntropy(3)
    y, z = np.array([0.0, 1.0]), np.array([[1e3, 0.0, -1e3], [1e3, -1e3, 0.0]])
    value, derivative, curvature = loss.all(y, z)
    assert value.ravel().tolist() == [0.0, 2e3]
    assert derivative.tolist() == [[0.0, 0.0, 0.0], [1.0, -1.0, 0.0]]
    assert not curvature.any()
    value, derivative, _ = loss.all(np.zeros(1), np.array([[40.0, 0.0, -5.0]]))
    small = np.exp(-40.0) + np.exp(-45.0)
    assert value[0, 0] == pytest.approx(small, rel=1e-14)
    assert derivative[0, 0] == pytest.approx(-small, rel=1e-14)


def test_margin_is_the_least_lead() -> None:
    z = np.array([[3.0, 1.0, 2.5], [0.0, -1.0, 4.0]])
    assert CrossEntropy(3).margin(np.array([0.0, 1.0]), z).tolist() == [[0.5], [-5.0]]
