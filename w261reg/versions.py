"""Which libraries made a result."""

import platform

import numpy
import pandas
import pyarrow
import scipy

from w261reg._version import __version__


def library_versions(spark: str | None) -> dict[str, str]:
    """Versions by name; `spark` is the running Spark's, or None where it took no part."""
    versions = {
        "w261reg": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "pyarrow": pyarrow.__version__,
        "pandas": pandas.__version__,
    }
    if spark is not None:
        versions["pyspark"] = spark
    return versions
