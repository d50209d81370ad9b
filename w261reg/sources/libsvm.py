"""LIBSVM (svmlight) text: `label index:value ...`, indices from 1."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.paths import Files
from w261reg.sources.text import Span, TextFiles

FEATURES = "features"
LABEL = "label"
MAX_INDEX = 2**31 - 1  # indices are 32-bit in a sparse block
LINE = re.compile(rb"^\s*[-+0-9.eE]+(\s+[0-9]+:\S+)+\s*(#.*)?$")
_NUMBER = rb"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_WELL_FORMED = re.compile(
    rb"^\s*" + _NUMBER + rb"(?:\s+0*[1-9]\d*:" + _NUMBER + rb")*\s*$", re.IGNORECASE
)


class LibsvmSource(Source):
    """A table of two columns: `label`, and the sparse vectors `features`.

    The number of features is the largest index in the data, which takes a look at all of it; a
    caller that knows it (a model does) gives it.
    """

    schema = pa.schema(
        [
            (LABEL, pa.float64()),
            (
                FEATURES,
                pa.struct([("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))]),
            ),
        ]
    )

    def __init__(self, files: Files) -> None:
        self.text = TextFiles.of(files)
        self.given = files.given
        self.description = f"LIBSVM {files.given}"

    def handles(self, width: int) -> list[Handle]:
        return list(self.text.spans)

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        for position, span in enumerate(handles):
            labels, pointer, indices, values = self._parse(span)
            if len(labels) == 0:
                continue
            offsets = pa.array(pointer, pa.int32())
            column = pa.StructArray.from_arrays(
                [
                    pa.ListArray.from_arrays(offsets, pa.array(indices - 1, pa.int32())),
                    pa.ListArray.from_arrays(offsets, pa.array(values)),
                ],
                ["indices", "values"],
            )
            batch = pa.record_batch([pa.array(labels), column], names=[LABEL, FEATURES])
            yield position, batch.select(list(columns)) if columns else batch

    width_costs_a_pass = True

    def max_index(self, span: Span) -> int | str:
        """The largest feature index in a span, 0 where it has none; or what is wrong with it."""
        try:
            return int(self._parse(span)[2].max(initial=0))
        except InputError as error:
            return str(error)  # a value: Spark would retry an exception, and print its trace

    def vector_width(self, column: str, run: Any = map) -> int:
        widths = list(run(self.max_index, self.text.spans))
        for width in widths:
            if isinstance(width, str):
                raise InputError(width)
        return max(widths, default=0)

    def _parse(
        self, span: Span
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """(labels (b,), row pointer (b + 1,), indices, values)."""
        text = self.text.lines(span)
        if b"#" in text:
            text = re.sub(rb"#[^\n]*", b"", text)
        lines = [line for line in text.split(b"\n") if line.strip()]
        counts = np.array([line.count(b":") for line in lines], dtype=np.int64)
        if any(len(line.split()) != 1 + n for line, n in zip(lines, counts, strict=True)):
            raise self._error(lines)
        tokens = b" ".join(lines).replace(b":", b" ").split()
        if len(tokens) != len(lines) + 2 * counts.sum():
            raise self._error(lines)
        try:
            numbers = np.array(tokens, dtype=np.float64)
        except ValueError:
            raise self._error(lines) from None
        starts = np.concatenate([[0], np.cumsum(1 + 2 * counts)])
        is_label = np.zeros(len(numbers), dtype=bool)
        is_label[starts[:-1]] = True
        pairs = numbers[~is_label].reshape(-1, 2)
        indices = pairs[:, 0].astype(np.int64)
        if len(indices) and (indices.min() < 1 or (indices != pairs[:, 0]).any()):
            raise self._error(lines)
        if len(indices) and indices.max() > MAX_INDEX:
            raise InputError(
                f"data {self.given} has the feature index {indices.max()}, above {MAX_INDEX}"
            )
        pointer = np.concatenate([[0], np.cumsum(counts)])
        return numbers[is_label], pointer, indices, np.ascontiguousarray(pairs[:, 1])

    def _error(self, lines: list[bytes]) -> InputError:
        bad = next((line for line in lines if not _WELL_FORMED.match(line)), b"".join(lines[:1]))
        shown = bad.decode("utf-8", "replace").strip()[:60]
        return InputError(
            f"data {self.given} is not LIBSVM (label index:value ..., indices from 1): {shown!r}"
        )
