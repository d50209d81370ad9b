"""pyspark.ml with a native BLAS under it."""

import ctypes
import ctypes.util
import os
from pathlib import Path
from typing import Any

from w261reg.benchmark.engines.pyspark import PySpark


class PySparkNative(PySpark):
    """The same with OpenBLAS, or whatever BLAS there is, through netlib's JNI library."""

    name = "pyspark-native"
    title = "pyspark.ml, native BLAS"
    variants = ("l-bfgs", "normal")
    usual = ("", "l-bfgs")

    def available(self) -> str:
        missing = super().available()
        if missing:
            return missing
        if self.options.blas and not Path(self.options.blas).is_file():
            return f"blas is {self.options.blas}, which is no file"
        library = self.library()
        if library is None:
            return "no libopenblas or libblas is found: install one, or give its path by --blas"
        try:  # what does not load would be passed over by Spark without a word
            ctypes.CDLL(library)
        except OSError as error:
            return f"{library} does not load: {error}"
        return ""

    def blas(self, jvm: Any) -> str:
        # raises where the library is not usable: Spark would go on without it
        found = jvm.dev.ludovic.netlib.blas.NativeBLAS.getInstance()
        return f"{found.getClass().getSimpleName()} {Path(self.library() or '').name}"

    def library(self) -> str | None:
        """The shared library: a path, or a name that the loader knows."""
        return self.options.blas or _find()

    def environment(self) -> dict[str, str]:
        # w261reg's session sets the driver's Java options itself, so these go another way
        options = [os.environ.get("JDK_JAVA_OPTIONS", ""), self._java_option()]
        # one thread a task: there is a task a core
        return {"JDK_JAVA_OPTIONS": " ".join(options).strip(), "OPENBLAS_NUM_THREADS": "1"}

    def conf(self) -> dict[str, str]:
        given = self.options.conf.get("spark.executor.extraJavaOptions", "")
        return {"spark.executor.extraJavaOptions": f"{given} {self._java_option()}".strip()}

    def _java_option(self) -> str:
        path = self.library() or ""
        key = "nativeLibPath" if os.sep in path else "nativeLib"
        return f"-Ddev.ludovic.netlib.blas.{key}={path}"


def _find() -> str | None:
    for name in ("openblas", "blas"):
        found = ctypes.util.find_library(name)
        if found is not None:
            return found
    return None
