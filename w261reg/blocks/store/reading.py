"""Blocks read from a file, and checked."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from w261reg.blocks.base import Block
from w261reg.blocks.dense import DenseBlock, part_rows
from w261reg.blocks.sparse import SparseBlock
from w261reg.blocks.store.checksum import checksum
from w261reg.blocks.store.files import Handle, Mark, mark_of


class Lost(Exception):
    """A file is gone, or not what it was: its partition has to be packed again."""


class Reader:
    """Reads a partition's blocks with `preadv`: a map would be SIGBUS where a file vanishes."""

    def __init__(self, path: str, mark: Mark, handles: tuple[Handle, ...]) -> None:
        self.path, self.mark, self.handles = path, mark, handles
        self.file = -1

    def leaves(self) -> Iterator[tuple[int, Block]]:
        try:
            self.file = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise Lost(f"{self.path}: {error.strerror}") from None
        try:
            self._same()
            for handle in self.handles:
                yield handle.leaf, self._block(handle)
            self._same()  # a change while it was read went into what was read
        finally:
            os.close(self.file)

    def _same(self) -> None:
        if mark_of(os.fstat(self.file)) != self.mark:
            raise Lost(f"{self.path} is not the file that was written")

    def _block(self, handle: Handle) -> Block:
        cursor = _Cursor(self, handle.offset, 0)
        b, n = handle.rows, handle.n_features
        y = cursor.take(b, "<f8")
        weight = cursor.take(b, "<f8") if handle.weighted else np.ones(b)
        origin = cursor.take(n, "<f8") if handle.shifted else np.zeros(n)
        if handle.entries is None:
            parts = _Parts(self, handle, cursor)
            return DenseBlock(y, weight, handle.census, parts, origin)
        indptr = cursor.take(b + 1, "<i8")
        indices = cursor.take(handle.entries, "<i4")
        data = cursor.take(handle.entries, handle.kind)
        self.verify(handle, cursor)
        if handle.entries < 2**31:
            indptr = indptr.astype(np.int32)  # scipy wants one type for both
        x = sparse.csr_array((data, indices, indptr), shape=(b, n))
        x.has_canonical_format = True
        return SparseBlock(y, weight, handle.census, x, origin)

    def verify(self, handle: Handle, cursor: "_Cursor") -> None:
        """Whether what the cursor has read is what was packed."""
        if cursor.total != handle.checksum:
            raise Lost(f"{self.path} has another checksum than it was written with")


@dataclass
class _Cursor:
    """Reads arrays one after the other, with a running checksum."""

    reader: Reader
    offset: int
    total: int

    def take(self, count: int, kind: str) -> NDArray[Any]:
        array = np.empty(count, dtype=kind)
        self.fill(array)
        return array

    def fill(self, array: NDArray[Any]) -> None:
        data = memoryview(cast(Any, array)).cast("B") if array.nbytes else memoryview(b"")
        while len(data):
            try:
                count = os.preadv(self.reader.file, [data], self.offset)
            except OSError as error:
                raise Lost(f"{self.reader.path}: {error.strerror}") from None
            if count == 0:
                raise Lost(f"{self.reader.path} is shorter than it was")
            self.offset += count
            data = data[count:]
        self.total = checksum(array, self.total)


@dataclass
class _Parts:
    """A dense block's parts, read into one buffer each time they are gone through."""

    reader: Reader
    handle: Handle
    start: _Cursor

    def __iter__(self) -> Iterator[NDArray[Any]]:
        handle = self.handle
        kind = np.dtype(handle.kind)
        size = part_rows(handle.n_features)
        cursor = _Cursor(self.reader, self.start.offset, self.start.total)
        most = handle.n_features * min(size, handle.rows) * kind.itemsize
        buffer = np.empty(most, dtype=np.uint8)
        for start in range(0, handle.rows, size):
            rows = min(size, handle.rows - start)
            count = handle.n_features * rows
            part = buffer[: count * kind.itemsize].view(kind).reshape(handle.n_features, rows)
            cursor.fill(part)
            yield part
        self.reader.verify(handle, cursor)
