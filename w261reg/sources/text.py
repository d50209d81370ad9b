"""Text files cut into runs of whole lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.fs as pafs

from w261reg.sources.base import TEXT_LEAF_BYTES
from w261reg.sources.paths import Files

COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")


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
        """The span's whole lines: those that start in it, also where they end beyond it."""
        if span.stop is None:
            with self.filesystem.open_input_stream(span.path) as stream:
                return bytes(stream.read())
        with self.filesystem.open_input_file(span.path) as file:
            # a line that starts exactly at `start` follows a newline at start - 1
            begin = max(0, span.start - 1)
            file.seek(begin)
            text = bytes(file.read(span.stop - begin))
            if span.start > 0:
                cut = text.find(b"\n")
                if cut < 0:
                    return b""
                text = text[cut + 1 :]
            if text and not text.endswith(b"\n"):
                text += b"".join(self._rest_of_line(file))
            return text

    @staticmethod
    def _rest_of_line(file: pafs.FileSystem) -> Iterator[bytes]:
        while chunk := bytes(file.read(2**16)):
            cut = chunk.find(b"\n")
            if cut >= 0:
                yield chunk[: cut + 1]
                return
            yield chunk
