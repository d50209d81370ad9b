"""Runs pytest under each of OpenBLAS's kernels that this processor can run: `make test-kernels`.

OpenBLAS takes another kernel for another processor, each with other last bits. A test that passes
under one only, or a fit whose end hangs on them, is found here before it is on a user's machine.
"""

import argparse
import os
import subprocess
import sys
import time

# a kernel, and the name that OpenBLAS may give it: the first of those that share its code
KERNELS = {
    "Prescott": {"Prescott", "Katmai", "Core2"},
    "Sandybridge": {"Sandybridge"},
    "Haswell": {"Haswell"},
    "SkylakeX": {"SkylakeX"},
}
# multiplies, for a kernel that the processor has not ends the process, then says what was taken
TRY = """
import numpy as np, threadpoolctl
a = np.random.default_rng(0).normal(size=(300, 300))
assert np.isfinite(a @ a).all()
found = [x for x in threadpoolctl.threadpool_info() if "numpy" in x["filepath"]]
print(*{x.get("architecture") or x["internal_api"] for x in found})
"""


def environment(kernel: str, threads: int) -> dict[str, str]:
    """This process's, with the kernel and the number of BLAS threads."""
    given = {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": str(threads)}
    return {**os.environ, **given}


def why_not(kernel: str) -> str:
    """Why this processor or this numpy cannot run a kernel; empty where it can."""
    tried = subprocess.run(
        [sys.executable, "-c", TRY],
        env=environment(kernel, 1),
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        return f"a product of matrices ended with exit code {tried.returncode}"
    taken = set(tried.stdout.split())
    return "" if taken and taken <= KERNELS[kernel] else f"numpy's BLAS took {taken or 'none'}"


def main() -> int:
    """Run pytest with the rest of the command line for each kernel and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--kernels", default=" ".join(KERNELS))
    parser.add_argument("--threads", default="1 2")
    given, pytest = parser.parse_known_args()
    outcome: dict[str, str] = {}
    for kernel in given.kernels.split():
        if reason := why_not(kernel):
            outcome[kernel] = f"skipped: {reason}"
            continue
        for threads in map(int, given.threads.split()):
            began = time.perf_counter()
            print(f"== {kernel}, BLAS threads: {threads}", flush=True)
            ran = subprocess.run(
                [sys.executable, "-m", "pytest", *pytest],
                env=environment(kernel, threads),
                check=False,
            )
            seconds = time.perf_counter() - began
            words = "passed" if ran.returncode == 0 else f"failed (exit code {ran.returncode})"
            outcome[f"{kernel}, BLAS threads: {threads}"] = f"{words} in {seconds:.0f} s"
    for name, words in outcome.items():
        print(f"{name}: {words}")
    ran_any = any("passed" in words for words in outcome.values())
    return int(not ran_any or any("failed" in words for words in outcome.values()))


if __name__ == "__main__":
    sys.exit(main())
