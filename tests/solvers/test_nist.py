"""Certified values of NIST's Statistical Reference Datasets for linear regression.

https://www.itl.nist.gov/div898/strd/lls/lls.shtml, a work of the US government, public domain.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.problems import Problem, objective_of
from w261reg import train
from w261reg.solvers import SOLVERS, FitResult, Status, minimise

Array = NDArray[np.float64]

# y, then six features: Longley (1967), *An Appraisal of Least Squares Programs*
LONGLEY = """
60323 83.0 234289 2356 1590 107608 1947
61122 88.5 259426 2325 1456 108632 1948
60171 88.2 258054 3682 1616 109773 1949
61187 89.5 284599 3351 1650 110929 1950
63221 96.2 328975 2099 3099 112075 1951
63639 98.1 346999 1932 3594 113270 1952
64989 99.0 365385 1870 3547 115094 1953
63761 100.0 363112 3578 3350 116219 1954
66019 101.2 397469 2904 3048 117388 1955
67857 104.6 419180 2822 2857 118734 1956
68169 108.4 442769 2936 2798 120445 1957
66513 110.8 444546 4681 2637 121950 1958
68655 112.6 482704 3813 2552 123366 1959
69564 114.2 502601 3931 2514 125368 1960
69331 115.7 518173 4806 2572 127852 1961
70551 116.9 554894 4007 2827 130081 1962
"""
LONGLEY_CERTIFIED = [
    -3482258.63459582,
    15.0618722713733,
    -0.035819179292591,
    -2.02022980381683,
    -1.03322686717359,
    -0.0511041056535807,
    1829.15146461355,
]

# y and x of a polynomial of degree 10: A. Filippelli, NIST
FILIP = """
0.8116 -6.860120914  0.9072 -4.324130045  0.9052 -4.358625055  0.9039 -4.358426747
0.8053 -6.955852379  0.8377 -6.661145254  0.8667 -6.355462942  0.8809 -6.118102026
0.7975 -7.115148017  0.8162 -6.815308569  0.8515 -6.519993057  0.8766 -6.204119983
0.8885 -5.853871964  0.8859 -6.109523091  0.8959 -5.79832982  0.8913 -5.482672118
0.8959 -5.171791386  0.8971 -4.851705903  0.9021 -4.517126416  0.909 -4.143573228
0.9139 -3.709075441  0.9199 -3.499489089  0.8692 -6.300769497  0.8872 -5.953504836
0.89 -5.642065153  0.891 -5.031376979  0.8977 -4.680685696  0.9035 -4.329846955
0.9078 -3.928486195  0.7675 -8.56735134  0.7705 -8.363211311  0.7713 -8.107682739
0.7736 -7.823908741  0.7775 -7.522878745  0.7841 -7.218819279  0.7971 -6.920818754
0.8329 -6.628932138  0.8641 -6.323946875  0.8804 -5.991399828  0.7668 -8.781464495
0.7633 -8.663140179  0.7678 -8.473531488  0.7697 -8.247337057  0.77 -7.971428747
0.7749 -7.676129393  0.7796 -7.352812702  0.7897 -7.072065318  0.8131 -6.774174009
0.8498 -6.478861916  0.8741 -6.159517513  0.8061 -6.835647144  0.846 -6.53165267
0.8751 -6.224098421  0.8856 -5.910094889  0.8919 -5.598599459  0.8934 -5.290645224
0.894 -4.974284616  0.8957 -4.64454848  0.9047 -4.290560426  0.9129 -3.885055584
0.9209 -3.408378962  0.9219 -3.13200249  0.7739 -8.726767166  0.7681 -8.66695597
0.7665 -8.511026475  0.7703 -8.165388579  0.7702 -7.886056648  0.7761 -7.588043762
0.7809 -7.283412422  0.7961 -6.995678626  0.8253 -6.691862621  0.8602 -6.392544977
0.8809 -6.067374056  0.8301 -6.684029655  0.8664 -6.378719832  0.8834 -6.065855188
0.8898 -5.752272167  0.8964 -5.132414673  0.8963 -4.811352704  0.9074 -4.098269308
0.9119 -3.66174277  0.9228 -3.2644011
"""
FILIP_CERTIFIED = [
    -1467.4896142298,
    -2772.17959193342,
    -2316.37108160893,
    -1127.97394098372,
    -354.478233703349,
    -75.1242017393757,
    -10.8753180355343,
    -1.06221498588947,
    -0.0670191154593408,
    -0.00246781078275479,
    -4.02962525080404e-05,
]


def table(text: str, columns: int) -> Array:
    return np.array(text.split(), dtype=float).reshape(-1, columns)


def digits(result: FitResult, certified: list[float]) -> float:
    """How many decimal digits agree, in the worst coefficient."""
    found = np.array([result.intercept, *result.w])
    error = np.abs(found - certified) / np.abs(certified)
    return float(-np.log10(np.maximum(error, 1e-16)).min())


def least_squares(x: Array, y: Array, solver: str, leaves: int = 3) -> FitResult:
    return minimise(SOLVERS[solver](), objective_of(Problem(x, y, np.ones(len(y)), leaves=leaves)))


@pytest.mark.parametrize("leaves", [1, 3, 16])
def test_longley(leaves: int) -> None:
    data = table(LONGLEY, 7)
    result = least_squares(data[:, 1:], data[:, 0], "gram", leaves)
    assert result.status is Status.CONVERGED
    assert digits(result, LONGLEY_CERTIFIED) >= 8
    assert result.history[-1].passes == 1


@pytest.mark.parametrize("solver", ["newton", "proximal"])
def test_longley_by_other_solvers(solver: str) -> None:
    data = table(LONGLEY, 7)
    assert digits(least_squares(data[:, 1:], data[:, 0], solver), LONGLEY_CERTIFIED) >= 8


@pytest.mark.parametrize("leaves", [1, 5])
def test_filip(leaves: int) -> None:
    """Condition 1e30 as a Gram matrix: only the orthogonal factor has digits left."""
    data = table(FILIP, 2)
    x = data[:, 1:] ** np.arange(1, 11)
    result = least_squares(x, data[:, 0], "gram", leaves)
    # a residual of eps times the condition is all that any answer in doubles can have
    assert result.evaluation.residual < 1e-8
    assert result.status is Status.CONVERGED or "allows no more digits" in result.message
    assert digits(result, FILIP_CERTIFIED) >= 6
    assert "singular" not in result.message
    assert result.condition_number is not None
    assert result.condition_number > 1e8
    assert result.history[-1].passes > 1


def test_longley_needs_no_orthogonal_factor_but_filip_does() -> None:
    data = table(FILIP, 2)
    x = data[:, 1:] ** np.arange(1, 11)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    normal = np.linalg.lstsq(z.T @ z, z.T @ data[:, 0], rcond=None)[0] / x.std(axis=0)
    error = np.abs(normal - FILIP_CERTIFIED[1:]) / np.abs(FILIP_CERTIFIED[1:])
    assert error.max() > 1e-2  # the normal equations, even centred and scaled, lose them all


FILIP_ERRORS = [
    298.084530995537,
    559.779865474950,
    466.477572127796,
    227.204274477751,
    71.6478660875927,
    15.2897178747400,
    2.23691159816033,
    0.221624321934227,
    0.0142363763154724,
    0.000535617408889821,
    8.96632837373868e-06,
]
FILIP_SIGMA = 0.00334801051324544


def test_filip_by_newton() -> None:
    data = table(FILIP, 2)
    result = least_squares(data[:, 1:] ** np.arange(1, 11), data[:, 0], "newton")
    assert digits(result, FILIP_CERTIFIED) >= 5
    certified = 0.5 * FILIP_SIGMA**2 * (82 - 11) / 82
    assert result.suboptimality_bound is not None
    assert result.evaluation.objective - certified <= result.suboptimality_bound
    assert result.suboptimality_bound < 1e-4 * certified


def test_filips_standard_errors() -> None:
    data = table(FILIP, 2)
    x = data[:, 1:] ** np.arange(1, 11)
    model = train(x, data[:, 0], loss="mse", sigma=np.full(82, FILIP_SIGMA))
    assert model.covariance is not None
    assert model.standard_errors is not None
    errors = np.append(np.sqrt(model.covariance[-1][-1]), model.standard_errors)
    np.testing.assert_allclose(errors, FILIP_ERRORS, rtol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_wampler(spread: float) -> None:
    """Wampler1, and the noise of Wampler3: 1, x, ..., x^5 with coefficients of 1."""
    x = np.arange(21.0)[:, None] ** np.arange(1, 6)
    # noise that is orthogonal to the polynomials, in whole numbers
    noise = np.array(
        [759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048, 2048,
         -2048, 1838, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 759.0]
    )  # fmt: skip
    result = least_squares(x, 1.0 + x.sum(axis=1) + spread * noise, "gram")
    assert digits(result, [1.0] * 6) >= 9
