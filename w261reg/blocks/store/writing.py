"""Blocks written to a file, or kept where they are few."""

import errno
import glob
import os
import pickle
import uuid
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

import numpy as np

from w261reg.blocks.base import Block
from w261reg.blocks.dense import DenseBlock
from w261reg.blocks.sparse import SparseBlock
from w261reg.blocks.store.checksum import checksum
from w261reg.blocks.store.files import PARTIAL, PREFIX, Handle, Mark, folder, mark_of
from w261reg.blocks.store.packed import Packed

# the disk is full, or gone
NO_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.ENODEV, errno.ENXIO),
}


class Packer:
    """Takes a partition's blocks one by one, and keeps them: in memory if they are few.

    Where the disk is full or gone they are not kept, and `finish` says so.

    Args:
        token: of the dataset, in its files' names.
        partition: the partition's number; None where it is not known yet.
        carry: bytes up to which the blocks travel instead of being written.
    """

    def __init__(self, token: str, partition: int | None, carry: float) -> None:
        self.token, self.partition, self.carry = token, partition, carry
        self.kept: list[tuple[int, Block]] | None = []
        self.sums: list[int] = []
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
        total = 0
        for array in arrays:
            total = checksum(array, total)
        self.fingerprint = zlib.crc32(total.to_bytes(4, "little"), self.fingerprint)
        self.nbytes += block.nbytes
        if self.kept is None:
            self._write(leaf, total, about, arrays)
            return
        self.kept.append((leaf, block))
        self.sums.append(total)
        if self.nbytes > self.carry:
            waiting, self.kept = self.kept, None
            for (number, kept), known in zip(waiting, self.sums, strict=True):
                self._write(number, known, *_arrays(kept))

    def _write(self, leaf: int, total: int, about: dict[str, Any], arrays: list[Any]) -> None:
        if self.full:
            return
        try:
            if self.writer is None:
                self.writer = _Writer(self.token, self.partition)
            self.writer.write(leaf, total, about, arrays)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Keep nothing, for want of a disk. Raises the error where it is another one."""
        if error.errno not in NO_DISK:
            raise error
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
        try:
            path, mark = self.writer.finish()
        except OSError as error:
            self._give_up(error)
            return replace(told, full=self.full)
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

    def write(self, leaf: int, total: int, about: dict[str, Any], arrays: list[Any]) -> None:
        start = self.offset
        for array in arrays:
            data = memoryview(array).cast("B") if array.nbytes else memoryview(b"")
            while len(data):
                data = data[self.file.write(data) or 0 :]
            self.offset += array.nbytes
        self.handles.append(Handle(leaf, start, checksum=total, **about))

    def finish(self) -> tuple[str, Mark]:
        self.file.close()
        if self.replaces:  # an earlier attempt's file, whose handles are gone
            for path in glob.glob(glob.escape(self.stem) + "*"):
                if not path.endswith(PARTIAL):
                    with suppress(OSError):
                        os.remove(path)
        os.replace(self.path + PARTIAL, self.path)
        return self.path, mark_of(os.stat(self.path))

    def discard(self) -> None:
        self.file.close()
        with suppress(OSError):
            os.remove(self.path + PARTIAL)
