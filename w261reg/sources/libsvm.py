"""LIBSVM (svmlight) text: `label [qid:q] index:value ... [# comment]`, indices from 1."""

import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w261reg.errors import InputError
from w261reg.sources.base import Handle, Source
from w261reg.sources.paths import Files
from w261reg.sources.text import BYTE_ORDER_MARK, Span, TextFiles

FEATURES = "features"
LABEL = "label"
MAX_INDEX = 2**31 - 1  # indices are 32-bit in a sparse block
# a table of so many features has some 60 of them for each that can occur at all: a stray index
FEW, STRAY = 2**20, 64
_NUMBER = rb"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_PAIRS = rb"(?:\s+qid:\d+)?(?:\s+" + _NUMBER + rb":" + _NUMBER + rb")"
_WELL_FORMED = re.compile(rb"^\s*" + _NUMBER + _PAIRS + rb"*\s*$", re.IGNORECASE)
_LABEL_ALONE = re.compile(rb"^\s*" + _NUMBER + rb"\s*$", re.IGNORECASE)
# for telling the format: what is between the colons may be wrong
_LIKE = re.compile(rb"^\s*[-+0-9.eE]+(\s+qid:\d+)?(\s+[0-9]+:\S+)+\s*$")
# a token of two colons, and a line that begins with a pair: beside tokens of none, the counts of
# colons and tokens may be right all the same
_TWO_COLONS, _NO_LABEL = re.compile(rb":[^\s:]*:"), re.compile(rb"\n[^\S\n]*[^\s:]*:")
_COMMENT = re.compile(rb"#[^\n]*")
_QID = re.compile(rb"(?<=\s)qid:\d+(?=\s|$)")


def looks_like(start: bytes) -> bool:
    """Whether a file that begins so is LIBSVM: its first line of more than a label is."""
    for line in start.removeprefix(BYTE_ORDER_MARK).split(b"\n"):
        line = _COMMENT.sub(b"", line)
        if line.strip() and not _LABEL_ALONE.match(line):
            return _LIKE.match(line) is not None
    return False


class Extent(NamedTuple):
    """The largest index in a span, the line that has it, and the non-zeros; or what is wrong."""

    largest: int
    line: int
    path: str
    values: int
    wrong: str = ""


@dataclass(frozen=True)
class _Parsed:
    """The rows of a span.

    Attributes:
        labels: (b,).
        pointer: where each row begins among the indices and values, (b + 1,).
        indices: from 1.
        lines: which line of the span each row is, from 0; (b,).
    """

    labels: NDArray[np.float64]
    pointer: NDArray[np.int64]
    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    lines: NDArray[np.int64]

    def row_of(self, entry: int) -> int:
        """The row that an entry is in."""
        return int(np.searchsorted(self.pointer, entry, side="right")) - 1

    def only(self, keep: NDArray[np.bool_]) -> "_Parsed":
        """Without some of the entries."""
        before = np.concatenate([[0], np.cumsum(keep)])
        return _Parsed(
            self.labels, before[self.pointer], self.indices[keep], self.values[keep], self.lines
        )


class LibsvmSource(Source):
    """A table of two columns: `label`, and the sparse vectors `features`.

    The number of features is the largest index in the data, which takes a look at all of it; a
    caller that knows it (a model does) gives it.

    Attributes:
        known: the number of features, where a model says it; else None.
        ignore_unknown: leave indices above it out, rather than refuse them.
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
    positional = True
    width_costs_a_pass = True

    def __init__(self, files: Files) -> None:
        self.text = TextFiles.of(files)
        self.given = files.given
        self.description = f"LIBSVM {files.given}"
        self.known: int | None = None
        self.ignore_unknown = False

    def for_model(self, features: int, ignore_unknown: bool) -> Self:
        own = copy(self)
        own.known, own.ignore_unknown = features, ignore_unknown
        return own

    def handles(self, width: int) -> list[Handle]:
        return list(self.text.spans)

    def read(
        self, handles: Sequence[Handle], columns: Sequence[str] | None, numeric: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        for position, span in enumerate(handles):
            rows = self._parse(span)
            if len(rows.labels) == 0:
                continue
            if self.known is not None:
                rows = self._of_model(rows, span, self.known)
            offsets = pa.array(rows.pointer, pa.int32())
            column = pa.StructArray.from_arrays(
                [
                    pa.ListArray.from_arrays(offsets, pa.array(rows.indices - 1, pa.int32())),
                    pa.ListArray.from_arrays(offsets, pa.array(rows.values)),
                ],
                ["indices", "values"],
            )
            batch = pa.record_batch([pa.array(rows.labels), column], names=[LABEL, FEATURES])
            yield position, batch.select(list(columns)) if columns else batch

    def _of_model(self, rows: _Parsed, span: Span, features: int) -> _Parsed:
        """The rows with the indices that a model knows, if others may be left out."""
        unknown = rows.indices > features
        if not unknown.any():
            return rows
        if self.ignore_unknown:
            return rows.only(~unknown)
        first = int(np.flatnonzero(unknown)[0])
        raise InputError(
            f"{self._line(span, rows.lines[rows.row_of(first)])} has the feature index "
            f"{rows.indices[first]}, and the model has {features} features: ignore_unknown leaves "
            "such values out"
        )

    def extent(self, span: Span) -> Extent:
        """How far the indices of a span go."""
        try:
            rows = self._parse(span)
        except InputError as error:
            # a value: Spark would retry an exception, and print its trace
            return Extent(0, 0, span.path, 0, str(error))
        if len(rows.indices) == 0:
            return Extent(0, 0, span.path, 0)
        at = int(rows.indices.argmax())
        line = 0
        if rows.indices[at] > FEW:
            line = int(rows.lines[rows.row_of(at)]) + 1 + self.text.line_breaks_before(span)
        return Extent(int(rows.indices[at]), line, span.path, len(rows.indices))

    def vector_width(self, column: str, run: Any = map) -> int:
        extents = list(run(self.extent, self.text.spans))
        wrong = next((extent.wrong for extent in extents if extent.wrong), "")
        if wrong:
            raise InputError(wrong)
        widest = max(extents, default=Extent(0, 0, "", 0), key=lambda extent: extent.largest)
        values = sum(extent.values for extent in extents)
        if widest.largest > max(FEW, STRAY * values):
            raise InputError(
                f"data {widest.path}, line {widest.line}: the feature index {widest.largest} makes "
                f"a model of {widest.largest:,} coefficients, of which no more than {values:,} "
                "can occur in the data; number the features without such gaps"
            )
        return widest.largest

    def _parse(self, span: Span) -> _Parsed:
        text = self.text.lines(span)
        if b"#" in text:
            text = _COMMENT.sub(b"", text)
        if b"qid:" in text:
            text = _QID.sub(b"", text)
        every = text.split(b"\n")
        numbers = [number for number, line in enumerate(every) if line.strip()]
        lines = [every[number] for number in numbers]
        counts = np.array([line.count(b":") for line in lines], dtype=np.int64)
        if any(len(line.split()) != 1 + n for line, n in zip(lines, counts, strict=True)):
            self._refuse(span, numbers, lines)
        joined = b"\n".join([b"", *lines])
        tokens = joined.replace(b":", b" ").split()
        wrong = len(tokens) != len(lines) + 2 * counts.sum() or b"_" in joined  # numpy reads 1_0
        if wrong or _TWO_COLONS.search(joined) or _NO_LABEL.search(joined):
            self._refuse(span, numbers, lines)
        try:
            found = np.array(tokens, dtype=np.float64)
        except ValueError:
            self._refuse(span, numbers, lines)
        before = np.concatenate([[0], np.cumsum(counts)])  # of the pairs of each row
        starts = 2 * before + np.arange(len(before))
        is_label = np.zeros(len(found), dtype=bool)
        is_label[starts[:-1]] = True
        pairs = found[~is_label].reshape(-1, 2)
        rows = np.repeat(np.arange(len(lines)), counts)
        whole = (pairs[:, 0] >= 1) & (pairs[:, 0] == np.floor(pairs[:, 0]))
        if (odd := np.flatnonzero(~whole)).size:
            at = slice(rows[odd[0]], rows[odd[0]] + 1)
            self._refuse(span, numbers[at], lines[at])
        if (beyond := np.flatnonzero(pairs[:, 0] > MAX_INDEX)).size:
            row = rows[beyond[0]]
            written = tokens[starts[row] + 1 + 2 * (beyond[0] - before[row])].decode("ascii")
            shown = written if len(written) <= 20 else f"{written[:20]}..."
            raise InputError(
                f"{self._line(span, numbers[row])} has the feature index {shown}, above {MAX_INDEX}"
            )
        indices = pairs[:, 0].astype(np.int64)
        self._check_once(span, rows, indices, numbers)
        values = np.ascontiguousarray(pairs[:, 1])
        return _Parsed(found[is_label], before, indices, values, np.array(numbers, dtype=np.int64))

    def _check_once(
        self, span: Span, rows: NDArray[Any], indices: NDArray[np.int64], numbers: list[int]
    ) -> None:
        """Raise InputError where a row has an index twice."""
        rising = (np.diff(rows) > 0) | (np.diff(indices) > 0)
        if rising.all():
            return
        order = np.lexsort((indices, rows))
        same = (np.diff(rows[order]) == 0) & (np.diff(indices[order]) == 0)
        if same.any():
            entry = order[int(np.flatnonzero(same)[0])]
            raise InputError(
                f"{self._line(span, numbers[rows[entry]])} has the feature index "
                f"{indices[entry]} twice"
            )

    def _line(self, span: Span, line: int) -> str:
        """Which line of which file the line of a span is."""
        return f"data {span.path}, line {int(line) + 1 + self.text.line_breaks_before(span)}"

    def _refuse(self, span: Span, numbers: list[int], lines: list[bytes]) -> NoReturn:
        each = zip(numbers, lines, strict=True)
        number, bad = next(
            (pair for pair in each if not _WELL_FORMED.match(pair[1])), (numbers[0], lines[0])
        )
        shown = bad[:200].decode("utf-8", "replace").strip()[:60]
        raise InputError(
            f"{self._line(span, number)} is not LIBSVM (label index:value ..., indices from 1): "
            f"{shown!r}"
        )
