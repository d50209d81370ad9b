"""Text files cut into runs of whole lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.fs as pafs

from w261reg.errors import InputError
from w261reg.sources.base import TEXT_LEAF_BYTES
from w261reg.sources.paths import Files, guarded

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
# a line longer than this is none; a compressed file is read whole, and parsers count in 32 bits
LINE_BYTES, WHOLE_BYTES = 2**28, 2**31 - 2**16
# of a compressed file, read at a time
PIECE_BYTES = 2**20


class Span(NamedTuple):
    """Lines of one file that start in [start, stop); stop is None for all of a compressed file."""

    path: str
    start: int
    stop: int | None
    whole: bool


@dataclass(frozen=True)
class TextFiles:
    """Text files and their leaves: spans of TEXT_LEAF_BYTES, a number that the data alone sets."""

    filesystem: pafs.FileSystem
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, files: Files) -> "TextFiles":
        """The spans of these files, in order."""
        spans: list[Span] = []
        for path, size in zip(files.paths, files.sizes, strict=True):
            if path.endswith(COMPRESSED):
                spans.append(Span(path, 0, None, True))
                continue
            whole = size <= TEXT_LEAF_BYTES
            for start in range(0, max(size, 1), TEXT_LEAF_BYTES):
                spans.append(Span(path, start, min(start + TEXT_LEAF_BYTES, size), whole))
        return cls(files.filesystem, tuple(spans))

    def lines(self, span: Span) -> bytes:
        """The span's whole lines: those that start in it, also where they end beyond it.

        A byte order mark at the beginning of a file is none of its text.

        Raises:
            InputError: the file cannot be read, or has a line without an end.
        """
        with guarded(f"data {span.path}"):
            text = self._all(span) if span.stop is None else self._lines(span)
        return text.removeprefix(BYTE_ORDER_MARK) if span.start == 0 else text

    def _all(self, span: Span) -> bytes:
        # pieces: of a read that fails, pyarrow never gives back the room that was asked for
        pieces, size = [], 0
        with self.filesystem.open_input_stream(span.path) as stream:
            while piece := bytes(stream.read(PIECE_BYTES)):
                pieces.append(piece)
                size += len(piece)
                if size >= WHOLE_BYTES:
                    raise InputError(
                        f"data {span.path} holds more than 2 GiB of compressed text: decompress it"
                    )
        return b"".join(pieces)

    def _lines(self, span: Span) -> bytes:
        with self.filesystem.open_input_file(span.path) as file:
            # a line that starts exactly at `start` follows a newline at start - 1
            begin = max(0, span.start - 1)
            file.seek(begin)
            text = bytes(file.read((span.stop or begin) - begin))
            if span.start > 0:
                cut = text.find(b"\n")
                if cut < 0:
                    return b""
                text = text[cut + 1 :]
            if text and not text.endswith(b"\n"):
                text += b"".join(self._rest_of_line(span.path, file))
            return text

    @staticmethod
    def _rest_of_line(path: str, file: Any) -> Iterator[bytes]:
        read = 0
        while chunk := bytes(file.read(2**16)):
            cut = chunk.find(b"\n")
            if cut >= 0:
                yield chunk[: cut + 1]
                return
            yield chunk
            read += len(chunk)
            if read > LINE_BYTES:
                raise InputError(f"data {path} has a line of more than {LINE_BYTES:,} bytes")

    def line_breaks_before(self, span: Span) -> int:
        """Line breaks in front of a span's first whole line."""
        if span.start == 0:
            return 0
        count, left = 0, span.start - 1
        with guarded(f"data {span.path}"), self.filesystem.open_input_file(span.path) as file:
            while left > 0 and (chunk := bytes(file.read(min(left, 2**24)))):
                count += chunk.count(b"\n")
                left -= len(chunk)
        return count + 1  # the one that its first line follows
