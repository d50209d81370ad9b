"""Fits in threads of one process: the bits of each alone."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import ThreadpoolController

from tests.spark.helpers import model_bits
from w261reg import Loss, Penalty, check_gradient, train
from w261reg.blas import one_blas_thread
from w261reg.held import Held
from w261reg.losses import LOSSES
from w261reg.model import Model
from w261reg.solvers import SOLVERS
from w261reg.sources.packing import _system_memory

Array = NDArray[np.float64]
THREADS = 4


@pytest.fixture(autouse=True)
def _impatient() -> Iterator[None]:
    """Threads take turns a hundred times as often as they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


# --- fits ---------------------------------------------------------------------------------------


def tempered(power: float) -> type[Loss]:
    """Losses of one name and one text, but different."""

    class Tempered(Loss):
        def value(self, y: Array, z: Array) -> Array:
            return (1 + (z - y[:, None]) ** 2) ** (power / 2) / power

        def derivative(self, y: Array, z: Array) -> Array:
            r = z - y[:, None]
            return r * (1 + r**2) ** (power / 2 - 1)

    return Tempered


def pulled(target: float) -> type[Penalty]:
    """Penalties of one name and one text, but different: towards `target`."""

    @dataclass(frozen=True)
    class Pulled(Penalty):
        strength: float

        @classmethod
        def of(cls, strength: float, scale: Array) -> "Pulled":
            return cls(strength)

        def value(self, w: Array) -> float:
            return 0.5 * self.strength * float(((w - target) ** 2).sum())

        def gradient(self, w: Array) -> Array:
            return self.strength * (w - target)

        def hessian(self, w: Array) -> Array:
            return np.full(len(w), self.strength)

    return Pulled


def problem(number: int, labels: str, wide: int) -> tuple[Any, Array]:
    """Rows enough for several parts of a block, and of another number for each problem."""
    rng = np.random.default_rng(number)
    rows, n = 2500 + 131 * number, wide + number % 3
    x = rng.normal(size=(rows, n)) * 10.0 ** rng.uniform(-1, 1, n) + rng.normal(size=n)
    # no product of the BLAS, which has other bits with another number of threads
    z = ((x - x.mean(axis=0)) / x.std(axis=0) * rng.normal(size=n)).sum(axis=1)
    z += rng.logistic(size=rows)
    if number % 4 == 1:
        x[rng.random(x.shape) < 0.8] = 0.0
    if labels == "counts":
        return np.floor(np.exp(rng.normal(size=(rows, n)))), (z > 0).astype(float)
    if labels == "several":
        y = np.digitize(z, np.quantile(z, [0.3, 0.6])).astype(float)
    else:
        y = z if labels == "real" else (z > 0).astype(float)
    return (sparse.csr_array(x) if number % 4 == 1 else x), y


def grouped(number: int) -> Model:
    x, y = problem(2 * number, "real", 4)
    sure = np.random.default_rng(number).integers(0, 3, len(y))
    return train(x, y, loss="mse", noise_group=sure)


def constrained(number: int) -> Model:
    x, y = problem(2 * number, "two", 5)
    table = pa.table({**{f"x{j}": x[:, j] for j in range(x.shape[1])}, "y": y})
    pinned = [{"rhs": 0.1 * number, "coefficients": {"x0": 1.0, "x1": -2.0}}]
    return train(table, "y", loss="bxe", constraints=pinned)


def fitted(number: int, labels: str, wide: int = 6, **settings: Any) -> Callable[[], Model]:
    def run() -> Model:
        x, y = problem(number, labels, wide)
        return train(x, y, **settings)

    return run


def cases() -> list[Callable[[], Model]]:
    """Thirty-two and more: every loss and every solver, own terms, dense and sparse."""
    found: list[Callable[[], Model]] = []
    add = found.append
    for number, solver in enumerate(sorted(SOLVERS)):
        slow = SOLVERS[solver].takes_step_size
        options: dict[str, Any] = {"solver": solver, "max_iter": 6 if slow else 100}
        if solver == "pegasos":
            add(fitted(number, "two", loss="hinge", reg_param=0.1, **options))
        elif solver == "gram":
            add(fitted(number, "real", 30, loss="mse", reg_param=0.1, **options))
            add(fitted(number + 1, "real", loss="mse", **options))
        else:
            add(fitted(number, "two", loss="bxe", reg_param=0.1, **options))
            add(fitted(number + 1, "several", loss="cxe", reg_param=0.2, **options))
    for number, loss in enumerate(sorted(LOSSES)):
        labels = {"mse": "real", "cxe": "several", "naive_bayes": "counts"}.get(loss, "two")
        more: dict[str, Any] = {} if loss == "naive_bayes" else {"reg_param": 0.05}
        add(fitted(20 + number, labels, loss=loss, **more))
    for number in range(4):
        own = tempered(1.2 + 0.2 * number)
        add(fitted(3, "real", loss=own, solver="newton", reg_param=0.1))
        pull: dict[str, Any] = {"penalty": pulled(0.5 * number), "penalty_param": 1.0}
        add(fitted(5, "real", loss="mse", **pull))
        add(lambda number=number: grouped(number))  # type: ignore[misc]
        add(lambda number=number: constrained(number))  # type: ignore[misc]
    return found


def at_once(work: list[Callable[[], Any]]) -> list[Any]:
    """What each comes to, in threads that all begin at the same time."""
    together = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=together.wait) as pool:
        return [future.result() for future in [pool.submit(own) for own in work]]


def test_fits_of_different_problems() -> None:
    work = cases()
    assert len(work) >= 32
    alone = [model_bits(own()) for own in work]
    assert len({str(own) for own in alone}) == len(work)
    order = np.random.default_rng(3).permutation(len(work))
    together = at_once([work[k] for k in order])
    wrong = [
        int(k) for k, model in zip(order, together, strict=True) if model_bits(model) != alone[k]
    ]
    assert wrong == []


def test_the_same_kind_of_fit_many_times() -> None:
    """Least squares of several widths: what is written through one buffer is of another shape."""
    work = [fitted(n, "real", 10 + 3 * n, loss="mse") for n in range(8)]
    alone = [model_bits(own()) for own in work]
    together = [model_bits(model) for model in at_once(work * 4)]
    assert together == alone * 4


def test_models_keep_their_own_loss() -> None:
    x, y = problem(3, "real", 6)
    kinds = [tempered(1.2 + 0.1 * k) for k in range(8)]
    models = at_once([lambda k=k: train(x, y, loss=k, reg_param=0.1) for k in kinds])  # type: ignore[misc]
    for kind, model in zip(kinds, models, strict=True):
        assert type(model.loss_object) is kind


def test_predicting_and_checking() -> None:
    x, y = problem(2, "two", 6)
    model = train(x, y, loss="bxe", reg_param=0.1)
    wanted = model.probability(x).tobytes()
    work: list[Callable[[], Any]] = [lambda: model.probability(x).tobytes() == wanted] * 8
    work += [lambda: check_gradient(x, y, loss="bxe", reg_param=0.1).ok] * 8
    assert all(at_once(work))


# --- what the whole process has -----------------------------------------------------------------


class Setting:
    """Of which there is one: held at 1."""

    def __init__(self, value: int) -> None:
        self.value = value

    def hold(self) -> Callable[[], None]:
        before, self.value = self.value, 1

        def put_back() -> None:
            self.value = before

        return put_back


@pytest.mark.parametrize("seed", range(5))
def test_a_held_setting_in_any_order(seed: int) -> None:
    setting = Setting(8)
    held = Held(setting.hold)
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(300):
        if inside and rng.random() < 0.5:
            held.__exit__(None, None, None)
            inside -= 1
        else:
            held.__enter__()
            inside += 1
        assert setting.value == (1 if inside else 8)
    for _ in range(inside):
        held.__exit__()
    assert setting.value == 8
    setting.value = 5  # by someone else, meanwhile
    with held:
        assert setting.value == 1
    assert setting.value == 5


def test_a_setting_that_cannot_be_held() -> None:
    def fail() -> Callable[[], None]:
        raise OSError("no")

    held = Held(fail)
    for _ in range(2):
        with pytest.raises(OSError, match="no"), held:
            pass


def blas_threads() -> set[int]:
    found = ThreadpoolController().select(user_api="blas")
    return {int(own["num_threads"]) for own in found.info()}


def test_blas_has_one_thread_until_the_last_one_leaves() -> None:
    """Each thread sees 1 as long as it is inside, whoever else leaves; then the number is back."""
    controller = ThreadpoolController()
    rng = np.random.default_rng(0)
    turns = [rng.random(20).tolist() for _ in range(THREADS)]

    def work(own: list[float]) -> set[int]:
        seen: set[int] = set()
        for turn in own:
            with one_blas_thread():
                seen |= blas_threads()
                with one_blas_thread():
                    threading.Event().wait(turn / 1000)
                seen |= blas_threads()
        return seen

    with controller.limit(limits=3, user_api="blas"):
        before = blas_threads()
        found = at_once([lambda own=own: work(own) for own in turns])  # type: ignore[misc]
        assert found == [{1}] * THREADS
        assert blas_threads() == before
    assert max(before) > 1


def test_the_limit_holds_in_every_thread() -> None:
    """Also where another thread has limited BLAS to another number, and is still at it."""

    def inside() -> set[int]:
        with one_blas_thread():
            return blas_threads()

    with ThreadpoolController().limit(limits=3, user_api="blas"):
        assert inside() == {1}
        assert at_once([inside] * 8) == [{1}] * 8
        assert blas_threads() == {3}
        assert inside() == {1}


def test_a_decorated_function_and_an_error_put_the_number_back() -> None:
    @one_blas_thread()
    def seen(fails: bool) -> set[int]:
        if fails:
            raise ValueError("no")
        return blas_threads()

    with ThreadpoolController().limit(limits=3, user_api="blas"):
        before = blas_threads()
        assert seen(False) == {1}
        with pytest.raises(ValueError, match="no"):
            seen(True)
        assert seen(False) == {1}
        assert blas_threads() == before


def test_pyarrows_memory_pool_comes_back() -> None:
    before = pa.default_memory_pool().backend_name
    first, second = _system_memory, _system_memory
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert pa.default_memory_pool().backend_name == "system"
    second.__exit__()
    assert pa.default_memory_pool().backend_name == before


def test_reports_in_threads() -> None:
    """Figures are drawn in settings of the whole process, which are put back."""
    import matplotlib

    from w261reg.report.canvas import render

    def drawn(width: float) -> bytes:
        def draw(figure: Figure) -> None:
            figure.add_subplot().plot([0, 1], linewidth=width)

        return render(draw, 1.0)

    with matplotlib.rc_context({"font.size": 17.0, "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        alone = [drawn(1.0 + k) for k in range(4)]
        together = at_once([lambda k=k: drawn(1.0 + k % 4) for k in range(16)])  # type: ignore[misc]
        assert together == alone * 4
        assert dict(matplotlib.rcParams) == before
