"""What packing saw of the raw values: rows, defects and label values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# classes that a loss of several may have, and the label values that are kept: one more
MAX_CLASSES = 1_000
MAX_LABELS = MAX_CLASSES + 1


@dataclass(frozen=True)
class Census:
    """Counts of one run of rows; a monoid under `merge`.

    Attributes:
        rows: rows read, those of weight 0 included.
        defects: (column, kind) -> rows; the kinds are null, NaN, infinite, negative
            and the like.
        labels: label value -> rows of positive weight; at most MAX_LABELS values are kept.
        invalid: the first reason why a leaf could not be read at all, or "".
        rounding: sum s (x - stored x)^2 of each feature (n,), where storage rounds.
        counted: sum of the rows' own weights s, where their noise is known and makes others.
        log_sigma: sum s log sigma of the same.
    """

    rows: int = 0
    defects: Mapping[tuple[str, str], int] = field(default_factory=dict)
    labels: Mapping[Any, int] = field(default_factory=dict)
    invalid: str = ""
    rounding: NDArray[np.float64] | None = None
    counted: float = 0.0
    log_sigma: float = 0.0

    def merge(self, right: "Census") -> "Census":
        """Both runs of rows together."""
        rounding = self.rounding
        if right.rounding is not None:
            rounding = right.rounding if rounding is None else rounding + right.rounding
        return Census(
            self.rows + right.rows,
            _add(self.defects, right.defects),
            dict(sorted(_add(self.labels, right.labels).items(), key=_order)[:MAX_LABELS]),
            self.invalid or right.invalid,
            rounding,
            self.counted + right.counted,
            self.log_sigma + right.log_sigma,
        )


def _order(item: tuple[Any, int]) -> tuple[bool, Any]:
    return isinstance(item[0], str), item[0]


def _add(left: Mapping[Any, int], right: Mapping[Any, int]) -> dict[Any, int]:
    total = dict(left)
    for key, count in right.items():
        total[key] = total.get(key, 0) + count
    return total
