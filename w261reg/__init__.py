"""w261reg: regularized linear models, trained by map-reduce on Spark.

from w261reg import train
model = train("table.parquet", label="y", loss="bxe", reg_param=0.01)
"""

from typing import TYPE_CHECKING, Any

from w261reg._version import __version__
from w261reg.errors import ComputeError, InputError

if TYPE_CHECKING:
    from w261reg.gradient_check import GradientCheck
    from w261reg.losses import Loss
    from w261reg.model import Model
    from w261reg.penalties import Penalty
    from w261reg.saved import load
    from w261reg.workflows import check_gradient, train

_HOME = {
    "train": "w261reg.workflows",
    "check_gradient": "w261reg.workflows",
    "GradientCheck": "w261reg.gradient_check",
    "load": "w261reg.saved",
    "Model": "w261reg.model",
    "Loss": "w261reg.losses",
    "Penalty": "w261reg.penalties",
}


def __getattr__(name: str) -> Any:
    # tasks import this package for its aggregators alone: the rest is imported when it is asked for
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'w261reg' has no attribute {name!r}")


__all__ = [
    "ComputeError",
    "GradientCheck",
    "InputError",
    "Loss",
    "Model",
    "Penalty",
    "__version__",
    "check_gradient",
    "load",
    "train",
]
