"""The distinct values of a column, found by a look at it alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.columns import is_text, plain
from w261reg.sources.frame import select_plain
from w261reg.sources.paths import one_line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# values of a column that are still groups of rows
MOST_LEVELS = 10_000


@dataclass(frozen=True)
class Level:
    """How often a value is there.

    Attributes:
        rows: that have it.
        weight: their sum of weights.
    """

    rows: int
    weight: float


Levels = dict[Any, Level]


def levels(
    source: Source,
    column: str,
    role: str,
    weight: str | None = None,
    most: int = MOST_LEVELS,
    run: Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]] = map,
    tasks: int = 1,
) -> Levels:
    """Each value of a column of text, integers or booleans, in order.

    Args:
        source: of the rows.
        column: its name.
        role: what errors call it.
        weight: column of row weights, or None.
        most: values allowed.
        run: `map` or a distributed one.
        tasks: into how many parts the leaves are dealt.

    Raises:
        InputError: nulls, more values than `most`, or the source cannot be read.
    """
    handles = source.handles(2)
    size = max(1, -(-len(handles) // tasks))
    parts = [handles[start : start + size] for start in range(0, len(handles), size)]

    def count(part: Sequence[Handle]) -> list[Levels] | str:
        try:
            return list(_counts(source, part, column, weight, most))
        except InputError as error:
            return str(error)  # a value: Spark would retry an exception, and print its trace
        except OSError as error:
            return f"{source.description} cannot be read: {one_line(error)}"

    total: Levels = {}
    for found in run(count, parts):
        if isinstance(found, str):
            raise InputError(found)
        for leaf in found:  # in the leaves' order, so that the sums are the same for any parts
            for value, level in leaf.items():
                before = total.get(value, Level(0, 0.0))
                total[value] = Level(before.rows + level.rows, before.weight + level.weight)
    return _checked(total, column, role, most)


def _counts(
    source: Source, part: Sequence[Handle], column: str, weight: str | None, most: int
) -> Iterable[Levels]:
    """Those of each leaf."""
    wanted = list(dict.fromkeys([column, *([] if weight is None else [weight])]))
    seen: set[Any] = set()
    for _, batch in source.read(part, wanted, [] if weight is None else [weight]):
        values = batch.column(column)
        if is_text(values.type):
            values = pc.cast(values, pa.string())
        encoded = pc.dictionary_encode(values, null_encoding="encode")
        codes, names = plain(encoded.indices), encoded.dictionary.to_pylist()
        s = np.ones(len(codes))
        if weight is not None:
            s = plain(pc.fill_null(pc.cast(batch.column(weight), pa.float64()), 0.0))
        rows, sums = np.bincount(codes, minlength=len(names)), np.bincount(codes, s, len(names))
        yield {
            name: Level(int(k), float(total))
            for name, k, total in zip(names, rows, sums, strict=True)
        }
        seen.update(names)
        if len(seen) > most + 1:  # the caller refuses these already
            return


def frame_levels(
    frame: "DataFrame", column: str, role: str, weight: str | None = None, most: int = MOST_LEVELS
) -> Levels:
    """The same of a Spark DataFrame; the arguments are those of `levels`."""
    from pyspark.sql import functions as F

    wanted = [column] if weight is None else [column, weight]
    plain = select_plain(frame, wanted)
    s = F.lit(1.0) if weight is None else F.col("c1").cast("double")
    counted = plain.groupBy("c0").agg(F.count(F.lit(1)).alias("rows"), F.sum(s).alias("weight"))
    found = counted.limit(most + 2).collect()
    total = {row["c0"]: Level(int(row["rows"]), float(row["weight"] or 0.0)) for row in found}
    return _checked(total, column, role, most)


def _checked(total: Levels, column: str, role: str, most: int) -> Levels:
    if (null := total.pop(None, None)) is not None:
        rows = null.rows + sum(level.rows for level in total.values())
        values = "value" if null.rows == 1 else "values"
        raise InputError(
            f"{role} column {column!r} has {null.rows:,} null {values} in {rows:,} rows"
        )
    if len(total) > most:
        raise InputError(f"{role} column {column!r} has more than {most:,} values")
    return dict(sorted(total.items()))
