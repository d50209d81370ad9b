"""w261reg: regularized linear models, trained by map-reduce on Spark.

from w261reg import train
model = train("table.parquet", label="y", loss="bxe", reg_param=0.01)
"""

from typing import TYPE_CHECKING, Any

from w261reg._version import __version__
from w261reg.errors import ComputeError, InputError

if TYPE_CHECKING:
    from w261reg.model import Model, load
    from w261reg.workflows import train

_HOME = {"train": "w261reg.workflows", "load": "w261reg.model", "Model": "w261reg.model"}


def __getattr__(name: str) -> Any:
    # tasks import this package for its aggregators alone: the rest is imported when it is asked for
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'w261reg' has no attribute {name!r}")


__all__ = ["ComputeError", "InputError", "Model", "__version__", "load", "train"]
