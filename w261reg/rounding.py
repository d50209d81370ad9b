"""How far rounding may move the sums of a pass: the mean loss and its gradient."""

import numpy as np
from numpy.typing import NDArray

from w261reg.aggregators import Summary
from w261reg.blocks.dense import origin_of
from w261reg.losses import Loss
from w261reg.scaling import Coordinates

Array = NDArray[np.float64]
EPS = float(np.finfo(float).eps)


class Rounding:
    """Bounds that cost no product with the rows, from what the first pass found.

    Blocks hold x - o and add (o - c)'w once, o near the rows (see `origin_of`), so that
    z = (x - c)'w + b0 is known to eps (|x - o|'|w| + |o - c|'|w| + |b0|). The mean loss moves by
    the mean of |l'| times that, at most rms(l') (sum_j |w_j| size_j + |b0|) by Cauchy and Schwarz,
    with size_j >= the rms of |x_j - o_j| + |o_j - c_j| by Minkowski. Its gradient moves by the
    rounding of its own terms, at most rms(l') size_j, and by that of z: the mean of
    |x_j - c_j| l'' |dz|, at most sqrt(h_jj) sum_k sqrt(h_kk) |theta_k| with the Hessian H.

    Args:
        loss: the loss.
        summary: of the rows.
        coordinates: of theta.

    Attributes:
        size: of each coordinate of theta, 1 for intercepts, (p,).
    """

    def __init__(self, loss: Loss, summary: Summary, coordinates: Coordinates) -> None:
        self.loss, self.coordinates = loss, coordinates
        active = coordinates.active
        low, high = summary.low[active], summary.high[active]
        origin = origin_of(low, high)
        with np.errstate(over="ignore"):
            about = np.hypot(summary.sd()[active], summary.mean[active] - origin)
            size = (about + np.abs(origin - coordinates.centre[active])) * coordinates.unit
        self.size = coordinates.extended(size, 1.0)

    def of_value(self, theta: Array, size: float, steep: Array) -> float:
        """Of the mean loss.

        Args:
            theta: (p,).
            size: the mean of |l|.
            steep: rms of l' of each output (K,).
        """
        with np.errstate(over="ignore", invalid="ignore"):
            reach = [
                float(self.size[own] @ np.abs(theta[own]))
                for own in map(self.coordinates.of_output, range(self.coordinates.outputs))
            ]
            return EPS * (size + float(steep @ np.array(reach)))

    def of_gradient(self, theta: Array, steep: Array, hessian: Array | None) -> Array:
        """Of the mean loss's gradient (p,); infinite where nothing bounds l''.

        Args:
            theta: (p,).
            steep: rms of l' of each output (K,).
            hessian: of the mean loss (p, p), where it is known.
        """
        to = self.coordinates
        with np.errstate(over="ignore", invalid="ignore"):
            if hessian is not None:
                bent = np.sqrt(np.maximum(np.diagonal(hessian), 0.0))
            else:
                bent = np.sqrt(self.loss.most_curved) * self.size
            moved = float(bent @ np.abs(theta)) * bent
            own = to.extended(np.repeat(steep, len(to.active)), steep) * self.size
            return np.asarray(EPS * (own + np.where(np.isnan(moved), np.inf, moved)))
