"""Results at a URI: any file system that pyarrow knows, where files are copied and moved."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from w261reg.errors import InputError
from w261reg.placing import exchange
from w261reg.results import FILES, MODEL, check_result

FAILURES = (OSError, pa.ArrowException, ValueError)


class RemotePlace:
    """Where a result, or a file, is to be: at a URI.

    Args:
        out: the URI.
        overwrite: whether a result of ours, or a file, may be replaced.
        folder: whether a folder is to be written.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, out: str, overwrite: bool, folder: bool) -> None:
        self.out, self.overwrite, self.folder = out, overwrite, folder
        with _one_line(out):
            self.filesystem, target = pafs.FileSystem.from_uri(out)
            self.target = target.rstrip("/")
            self.found = self._look()

    def _look(self) -> Any:
        """What is there, to be compared later; None is nothing."""
        info = self.filesystem.get_file_info(self.target)
        if info.type == pafs.FileType.NotFound:
            return None
        if not self.overwrite:
            raise InputError(f"out {self.out} exists already; give another, or overwrite")
        is_folder = info.type == pafs.FileType.Directory
        if is_folder != self.folder:
            kinds = ("a folder", "a file") if is_folder else ("a file", "a folder")
            raise InputError(f"out {self.out} is {kinds[0]}, and {kinds[1]} is to be written")
        if not is_folder:
            return info.mtime_ns, info.size
        held = self.filesystem.get_file_info(pafs.FileSelector(self.target))
        check_result(self.out, [entry.base_name for entry in held], self._read)
        model = self.filesystem.get_file_info(f"{self.target}/{MODEL}")
        return (model.mtime_ns, model.size) if held else ()

    def _read(self, name: str) -> bytes:
        with self.filesystem.open_input_stream(f"{self.target}/{name}") as source:
            return bytes(source.read())

    def put(self, partial: Path) -> None:
        """Copy a finished file or folder beside its place, and move it there."""
        parent, _, name = self.target.rpartition("/")
        beside = f"{parent}/.{name[:32]}.partial-{uuid.uuid4().hex}"
        with _one_line(self.out):
            try:
                new = [""]
                if self.folder:
                    new = [p.relative_to(partial).as_posix() for p in _files(partial)]
                for path in new:
                    self._upload(partial / path, f"{beside}/new/{path}".rstrip("/"))
                if self._look() != self.found:
                    raise InputError(
                        f"out {self.out} has changed while this ran: nothing there was replaced"
                    )
                if self.folder:
                    self._exchange(new, beside)
                else:
                    self.filesystem.move(f"{beside}/new", self.target)
            finally:
                with suppress(*FAILURES):
                    self.filesystem.delete_dir(beside)

    def _exchange(self, new: list[str], beside: str) -> None:
        old = [name for name in FILES if self._type(f"{self.target}/{name}") == pafs.FileType.File]
        for place, names in ((self.target, new), (f"{beside}/old", old)):
            for folder in {f"{place}/{name}".rpartition("/")[0] for name in names}:
                self.filesystem.create_dir(folder, recursive=True)
        exchange(old, new, self.target, f"{beside}/old", f"{beside}/new", self._move)

    def _move(self, source: str, target: str) -> None:
        if self._type(target) != pafs.FileType.NotFound:
            raise FileExistsError(f"{target} is there already")
        if self._type(source) == pafs.FileType.NotFound:
            raise FileNotFoundError(f"{source} is not there")
        self.filesystem.move(source, target)

    def _type(self, path: str) -> pafs.FileType:
        return self.filesystem.get_file_info(path).type

    def _upload(self, path: Path, target: str) -> None:
        self.filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
        with path.open("rb") as source, self.filesystem.open_output_stream(target) as sink:
            shutil.copyfileobj(source, sink, 2**20)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@contextmanager
def _one_line(out: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FAILURES as error:
        line = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise InputError(f"out {out} cannot be written: {line}") from None


def download(path: str | os.PathLike[str], names: tuple[str, ...], folder: Path) -> None:
    """Copy those of a result's files that are at a URI. Raises InputError if that fails."""
    try:
        filesystem, target = pafs.FileSystem.from_uri(str(path).removesuffix(f"/{MODEL}"))
        for name in names:
            if filesystem.get_file_info(f"{target}/{name}").type == pafs.FileType.File:
                with (
                    filesystem.open_input_stream(f"{target}/{name}") as source,
                    (folder / name).open("wb") as sink,
                ):
                    shutil.copyfileobj(source, sink, 2**20)
    except FAILURES as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
