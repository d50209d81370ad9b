"""Files and folders, local or on any file system pyarrow knows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs

from w261reg.errors import InputError, Unreachable
from w261reg.files import local_form

# characters of a library's error that are shown
LONGEST = 240


@dataclass(frozen=True)
class Files:
    """The data files behind a path, sorted by name; hidden ones (`_SUCCESS`, `.crc`) left out.

    Attributes:
        given: the path as it was given.
        root: the file or folder it stands for, inside the file system.
        paths, sizes: of the files, in bytes.
        folder: whether `root` is a folder.
    """

    given: str
    root: str
    filesystem: pafs.FileSystem
    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    folder: bool


def find(path: str) -> Files:
    """The files of a path or URI.

    Raises:
        Unreachable: pyarrow does not know, or cannot reach, its file system.
        InputError: there is nothing there, or nothing that can be read.
    """
    try:
        path = local_form(path)
        if "://" in path:
            try:
                filesystem, inner = pafs.FileSystem.from_uri(path)
            except (OSError, pa.ArrowException) as error:
                raise Unreachable(f"data {path} cannot be read: {one_line(error)}") from None
        else:
            filesystem, inner = pafs.LocalFileSystem(), os.path.abspath(path)
        info = filesystem.get_file_info(inner)
        if info.type == pafs.FileType.NotFound:
            raise InputError(f"data not found: {path}")
        if info.type == pafs.FileType.File:
            return Files(path, inner, filesystem, (inner,), (info.size,), False)
        entries = filesystem.get_file_info(pafs.FileSelector(inner, recursive=True))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"data {path} cannot be read: {one_line(error)}") from None
    names = {entry.path[len(inner) :].lstrip("/").split("/")[0] for entry in entries}
    if "_delta_log" in names:
        raise InputError(
            f"data {path} is a Delta table, whose folder also holds rows that are no longer in it: "
            "read it with Spark and pass the DataFrame"
        )
    if "metadata" in names and any(e.path.endswith(".metadata.json") for e in entries):
        raise InputError(
            f"data {path} is an Iceberg table, whose folder also holds rows that are no longer in "
            "it: read it with Spark and pass the DataFrame"
        )
    files = sorted(
        (entry.path, entry.size)
        for entry in entries
        if entry.type == pafs.FileType.File and not _hidden(entry.path[len(inner) :])
    )
    if not files:
        raise InputError(f"data {path} is a folder without data files")
    paths, sizes = zip(*files, strict=True)
    return Files(path, inner, filesystem, paths, sizes, True)


def _hidden(inner: str) -> bool:
    return any(part.startswith(("_", ".")) for part in inner.split("/") if "=" not in part)


def head(files: Files, index: int = 0, size: int = 2**20) -> bytes:
    """The first bytes of a file, decompressed by its ending."""
    with (
        guarded(f"data {files.given}"),
        files.filesystem.open_input_stream(files.paths[index]) as stream,
    ):
        return bytes(stream.read(size))


def reachable(files: Files) -> str:
    """Why a file cannot be opened from here; "" if it can."""
    try:
        with files.filesystem.open_input_file(files.paths[0]):
            return ""
    except (OSError, pa.ArrowException) as error:
        return one_line(error)


@contextmanager
def guarded(
    what: str, broken: str = "cannot be read", pass_on: type[Exception] | None = None
) -> Iterator[None]:
    """Whatever a library raises on bytes that are not what they should be, as one line.

    A parser of a damaged file raises anything: it asks for memory that is not there, divides by a
    length of 0, takes bytes for text.

    Args:
        what: is read.
        broken: what is wrong with it.
        pass_on: of its errors, those that the caller explains.

    Raises:
        InputError: instead of any error but one of `pass_on`.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if pass_on is not None and isinstance(error, pass_on):
            raise
        raise InputError(f"{what} {broken}: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """An error's first line, without what a terminal would not show."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    line = "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in line)
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
