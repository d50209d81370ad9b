"""Blocks in files of the machine that packed them, for passes to read again and again.

A file holds the blocks of one partition, one after the other; a handle says where each lies. What
a pass reads is what was packed, or `Lost` is raised: every block has a checksum, verified when a
process first reads it, and every later read checks that the file is still the same one.
"""

import errno
import glob
import os
import pickle
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from w261reg.blocks.base import Block
from w261reg.blocks.census import Census
from w261reg.blocks.dense import DenseBlock, part_rows
from w261reg.blocks.sparse import SparseBlock

Array = NDArray[np.float64]
PREFIX, PARTIAL = "w261reg-", ".part"


class Lost(Exception):
    """A file is gone, or not what it was: its partition has to be packed again."""


class Mark(NamedTuple):
    """What tells a file from another one under its name."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Handle:
    """Where a block lies in a file: labels, weights, origin and features, in this order.

    Attributes:
        leaf: the leaf it is a part of.
        offset: of its first byte.
        rows, n_features: b and n.
        entries: of the CSR matrix; None for a dense block.
        kind: of the features' numbers, as numpy writes it.
        weighted, shifted: whether weights, and an origin, are there: else they are 1 and 0.
        crc: CRC-32 of its bytes.
        census: what packing saw.
    """

    leaf: int
    offset: int
    rows: int
    n_features: int
    entries: int | None
    kind: str
    weighted: bool
    shifted: bool
    crc: int
    census: Census


@dataclass(frozen=True)
class Packed:
    """A partition's blocks, as they travel: handles of a file, or the blocks themselves.

    Attributes:
        partition: its number.
        fingerprint: of what was packed: another one means other rows.
        nbytes: of the blocks.
        path, mark, handles: of its file; "" and None where there is none.
        blocks: (leaf, block), pickled, where they travel; b"" where they do not.
        full: why there is neither: no room on the disk; or "".
        first_leaf: added to the leaves' numbers.
    """

    partition: int
    fingerprint: int
    nbytes: int
    path: str = ""
    mark: Mark | None = None
    handles: tuple[Handle, ...] = ()
    blocks: bytes = b""
    full: str = ""
    first_leaf: int = 0

    def leaves(self) -> Iterator[tuple[int, Block]]:
        """(leaf, block) in order; a block is good until the next one. Raises Lost."""
        found: Iterator[tuple[int, Block]]
        if self.full:
            raise Lost(self.full)
        if self.path:
            assert self.mark is not None
            found = _Reader(self.path, self.mark, self.handles).leaves()
        else:
            found = iter(pickle.loads(self.blocks))
        for leaf, block in found:
            yield leaf + self.first_leaf, block

    @property
    def travels(self) -> bool:
        """Whether the blocks are in here."""
        return bool(self.blocks)

    def told(self) -> "Packed":
        """The account alone, without what it tells of."""
        return replace(self, path="", mark=None, handles=(), blocks=b"")


class Packer:
    """Takes a partition's blocks one by one, and keeps them: in memory if they are few.

    Where the disk is full they are not kept, and `finish` says so.

    Args:
        token: of the dataset, in its files' names.
        partition: the partition's number; None where it is not known yet.
        carry: bytes up to which the blocks travel instead of being written.
    """

    def __init__(self, token: str, partition: int | None, carry: float) -> None:
        self.token, self.partition, self.carry = token, partition, carry
        self.kept: list[tuple[int, Block]] | None = []
        self.crcs: list[int] = []
        self.writer: _Writer | None = None
        self.full = ""
        self.nbytes = 0
        self.fingerprint = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.writer is not None:
            self.writer.discard()  # of no effect after `finish`

    def add(self, leaf: int, block: Block) -> None:
        """Keep a block."""
        about, arrays = _arrays(block)
        crc = 0
        for array in arrays:
            crc = zlib.crc32(array, crc)
        self.fingerprint = zlib.crc32(crc.to_bytes(4, "little"), self.fingerprint)
        self.nbytes += block.nbytes
        if self.kept is None:
            self._write(leaf, crc, about, arrays)
            return
        self.kept.append((leaf, block))
        self.crcs.append(crc)
        if self.nbytes > self.carry:
            waiting, self.kept = self.kept, None
            for (number, kept), known in zip(waiting, self.crcs, strict=True):
                self._write(number, known, *_arrays(kept))

    def _write(self, leaf: int, crc: int, about: dict[str, Any], arrays: list[Any]) -> None:
        if self.full:
            return
        try:
            if self.writer is None:
                self.writer = _Writer(self.token, self.partition)
            self.writer.write(leaf, crc, about, arrays)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            if self.writer is not None:
                self.writer.discard()
            self.writer, self.full = None, f"{folder(self.partition)}: {error.strerror}"

    def finish(self) -> Packed:
        """What was kept."""
        told = Packed(self.partition or 0, self.fingerprint, self.nbytes, full=self.full)
        if self.kept is not None:
            return replace(told, blocks=pickle.dumps(self.kept, pickle.HIGHEST_PROTOCOL))
        if self.writer is None:
            return told
        path, mark = self.writer.finish()
        return replace(told, path=path, mark=mark, handles=tuple(self.writer.handles))


def _arrays(block: Block) -> tuple[dict[str, Any], list[Any]]:
    """A handle's fields, and the arrays it points to, in order."""
    weighted = bool((block.weight != 1.0).any())
    shifted = bool(block.reference().any())
    arrays: list[Any] = [block.y]
    if weighted:
        arrays.append(block.weight)
    if shifted:
        arrays.append(block.reference())
    entries: int | None = None
    if isinstance(block, SparseBlock):
        x = block.x
        entries, kind = len(x.data), x.data.dtype.str
        arrays += [x.indptr.astype(np.int64), x.indices.astype(np.int32), x.data]
    else:
        assert isinstance(block, DenseBlock)
        parts = list(block.parts)
        kind = parts[0].dtype.str if parts else "<f8"
        arrays += parts
    about = {
        "rows": block.rows,
        "n_features": block.n_features,
        "entries": entries,
        "kind": kind,
        "weighted": weighted,
        "shifted": shifted,
        "census": block.census,
    }
    return about, [np.ascontiguousarray(array) for array in arrays]


# --- writing ------------------------------------------------------------------------------------


def folders() -> list[str]:
    """Where an executor keeps its files: Spark's local directories."""
    given = [name for name in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if name]
    return given or [tempfile.gettempdir()]


def folder(partition: int | None) -> str:
    """The one for a partition: each in turn."""
    places = folders()
    return places[(os.getpid() if partition is None else partition) % len(places)]


class _Writer:
    """A partition's file: under another name until it is whole."""

    def __init__(self, token: str, partition: int | None) -> None:
        own = "" if partition is None else f"{partition}-"
        self.stem = os.path.join(folder(partition), f"{PREFIX}{token}-{own}")
        self.replaces = partition is not None
        self.path = f"{self.stem}{uuid.uuid4().hex}"
        self.handles: list[Handle] = []
        self.offset = 0
        self.file = open(self.path + PARTIAL, "wb", buffering=0)  # noqa: SIM115 - `finish` closes

    def write(self, leaf: int, crc: int, about: dict[str, Any], arrays: list[Any]) -> None:
        start = self.offset
        for array in arrays:
            data = memoryview(array).cast("B") if array.nbytes else memoryview(b"")
            while len(data):
                data = data[self.file.write(data) or 0 :]
            self.offset += array.nbytes
        self.handles.append(Handle(leaf, start, crc=crc, **about))

    def finish(self) -> tuple[str, Mark]:
        self.file.close()
        if self.replaces:  # an earlier attempt's file, whose handles are gone
            for path in glob.glob(glob.escape(self.stem) + "*"):
                if not path.endswith(PARTIAL):
                    with suppress(OSError):
                        os.remove(path)
        os.replace(self.path + PARTIAL, self.path)
        return self.path, _mark(os.stat(self.path))

    def discard(self) -> None:
        self.file.close()
        with suppress(OSError):
            os.remove(self.path + PARTIAL)


def remove(token: str) -> int:
    """Delete a dataset's files on this machine; returns how many."""
    count = 0
    for place in folders():
        for path in glob.glob(os.path.join(glob.escape(place), f"{PREFIX}{token}-*")):
            with suppress(OSError):
                os.remove(path)
                count += 1
    return count


# --- reading ------------------------------------------------------------------------------------

# (path, mark, offset) of the blocks that this process has verified
_verified: set[tuple[str, Mark, int]] = set()


def _mark(status: os.stat_result) -> Mark:
    return Mark(status.st_ino, status.st_size, status.st_mtime_ns)


class _Reader:
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
        if _mark(os.fstat(self.file)) != self.mark:
            raise Lost(f"{self.path} is not the file that was written")

    def _block(self, handle: Handle) -> Block:
        known = (self.path, self.mark, handle.offset)
        cursor = _Cursor(self, handle.offset, None if known in _verified else 0)
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
        if cursor.crc is None:
            return
        if cursor.crc != handle.crc:
            raise Lost(f"{self.path} has another checksum than it was written with")
        if len(_verified) > 2**20:
            _verified.clear()
        _verified.add((self.path, self.mark, handle.offset))


@dataclass
class _Cursor:
    """Reads arrays one after the other, with a running checksum where one is wanted."""

    reader: _Reader
    offset: int
    crc: int | None

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
            if self.crc is not None:
                self.crc = zlib.crc32(data[:count], self.crc)
            data = data[count:]


# what the last dense block was read into: a process reads one after the other
_buffer = np.empty(0, dtype=np.uint8)


@dataclass
class _Parts:
    """A dense block's parts, read into one buffer whenever they are gone through."""

    reader: _Reader
    handle: Handle
    start: _Cursor

    def __iter__(self) -> Iterator[NDArray[Any]]:
        global _buffer
        handle = self.handle
        kind = np.dtype(handle.kind)
        size = part_rows(handle.n_features)
        cursor = _Cursor(self.reader, self.start.offset, self.start.crc)
        most = handle.n_features * min(size, handle.rows) * kind.itemsize
        if len(_buffer) < most:
            _buffer = np.empty(most, dtype=np.uint8)
        for start in range(0, handle.rows, size):
            rows = min(size, handle.rows - start)
            count = handle.n_features * rows
            part = _buffer[: count * kind.itemsize].view(kind).reshape(handle.n_features, rows)
            cursor.fill(part)
            yield part
        self.reader.verify(handle, cursor)
