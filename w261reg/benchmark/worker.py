"""One engine on one problem in a process of its own.

    python -m w261reg.benchmark.worker SPEC.json OUT.jsonl

SPEC names the engine, its options, the posed problem and a list of tolerances. OUT gets a line as
soon as it is known: the versions, then one a fit. Where SPEC has a `target`, an objective, fits go
down the tolerances until one is close enough to it; otherwise the first tolerance is fitted `fits`
times, the first fit cold and the next ones warm.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from w261reg.benchmark.engines import Engine, Options, get_engine
from w261reg.benchmark.problems import Posed
from w261reg.benchmark.processes import peak_mb
from w261reg.benchmark.scoring import objective

Line = dict[str, Any]


def fits(engine: Engine, spec: dict[str, Any]) -> Iterator[Line]:
    """A line a fit, of a started engine; an error is the last one."""
    problem = Posed.of(spec["problem"])
    target = spec.get("target")
    tolerances = spec["tolerances"] if target is not None else spec["tolerances"][:1] * spec["fits"]
    for number, tol in enumerate(tolerances):
        line: Line = {"tol": tol, "temperature": "warm" if number else "cold"}
        began = time.perf_counter()
        try:
            answer = engine.fit(problem, tol)
        except Exception as error:
            traceback.print_exc()
            yield {**line, "error": one_line(error)}
            return
        line["seconds"] = time.perf_counter() - began
        line["peak_mb"] = peak_mb()
        line.update(
            iterations=answer.iterations,
            passes=answer.passes,
            status=answer.status,
            w=answer.w.tolist(),
            intercept=answer.intercept,
        )
        if target is not None:
            sd = np.array(spec["sd"])
            line["objective"] = objective(problem, sd, answer.w, answer.intercept)
        yield line
        if target is not None and line["objective"] - target <= spec["within"] * abs(target):
            return


def one_line(error: Exception) -> str:
    """The kind of an error and its first line."""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text[:300]}"


def measure(spec: dict[str, Any], write: Callable[[Line], None]) -> None:
    """Start the engine, write its lines, stop it."""
    engine = get_engine(spec["engine"], Options(**spec["options"]))
    try:
        engine.start()
        write({"versions": engine.versions()})
    except Exception as error:
        traceback.print_exc()
        write({"error": f"it did not start: {one_line(error)}"})
        return
    for line in fits(engine, spec):
        write(line)
    engine.stop()


def main(spec_path: str, out_path: str) -> None:
    """What `python -m` runs."""
    spec = json.loads(Path(spec_path).read_text(encoding="utf-8"))
    with Path(out_path).open("w", encoding="utf-8") as out:

        def write(line: Line) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        if "micro" in spec:
            from w261reg.benchmark.micro import rates

            for rate in rates(master=spec["options"]["master"], **spec["micro"]):
                write(rate)
        else:
            measure(spec, write)
    sys.stdout.flush()
    sys.stderr.flush()
    # a gateway or a server that does not answer any more must not hold the process
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
