"""Outputs that appear whole or not at all, and settings read from files."""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from w261reg.errors import InputError

Out = str | os.PathLike[str]
# what tells a result folder of ours from one that must not be replaced
RESULTS = ("model.json", "comparison.json", "report.html")


def check_out(out: Out, overwrite: bool, folder: bool = True) -> None:
    """Raise InputError where `out`, a path or a URI, could not be written as a folder or a file.

    Changes nothing.
    """
    if is_uri(out):
        _check_uri(str(out), overwrite)
        return
    try:
        _check_path(Path(out), overwrite, folder)
    except OSError as error:  # a name that is too long, a folder that cannot be listed
        raise InputError(f"out {out} cannot be written: {error.strerror}") from None


def _check_path(path: Path, overwrite: bool, folder: bool) -> None:
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise InputError(f"out {path} exists already; give another, or overwrite")
        if path.exists() and path.is_dir() != folder:
            kinds = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
            raise InputError(f"out {path} is {kinds[0]}, and {kinds[1]} is to be written")
        if path.is_dir() and any(path.iterdir()) and not any((path / r).is_file() for r in RESULTS):
            raise InputError(f"out {path} is a folder that does not hold a result of w261reg")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"out {path} cannot be written: {parent} is not a folder")
    try:  # permissions alone do not tell of a read-only or a special file system
        os.rmdir(tempfile.mkdtemp(prefix=f".{path.name[:32]}.partial-", dir=parent))
    except OSError as error:
        raise InputError(f"out {path} cannot be written: {error.strerror}") from None


@contextmanager
def replace_folder(out: Out, overwrite: bool) -> Iterator[Path]:
    """A new folder that takes the place of `out` at the end; removed if anything fails.

    On this machine's disk by a rename. At a URI the files are copied, those of RESULTS last: a
    reader that finds a model.json finds all that belongs to it.
    """
    check_out(out, overwrite)
    with _partial(out, folder=True) as partial:
        yield partial
        if is_uri(out):
            _upload_folder(partial, str(out))
            return
        path = Path(out)
        if path.is_dir():
            aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-", dir=path.absolute().parent))
            path.rename(aside / "old")  # a rename cannot replace a folder that is not empty
            try:
                partial.rename(path)
            except OSError:
                (aside / "old").rename(path)
                raise
            finally:
                shutil.rmtree(aside)
        else:
            path.unlink(missing_ok=True)
            partial.rename(path)


@contextmanager
def replace_file(out: Out, overwrite: bool) -> Iterator[Path]:
    """A new file that takes the place of `out` at the end; removed if anything fails."""
    check_out(out, overwrite, folder=False)
    with _partial(out, folder=False) as partial:
        yield partial
        if is_uri(out):
            filesystem, target = pafs.FileSystem.from_uri(str(out))
            _upload(partial, filesystem, target)
        else:
            os.replace(partial, out)


@contextmanager
def _partial(out: Out, folder: bool) -> Iterator[Path]:
    """A place to write: beside a path, so that a rename stays on one disk; local for a URI."""
    name = str(out).rstrip("/").rsplit("/", 1)[-1]
    try:
        beside = None
        if not is_uri(out):
            beside = Path(out).absolute().parent
            beside.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{name}.partial-", dir=beside))
    except OSError as error:
        raise InputError(f"out {out} cannot be written: {error.strerror}") from None
    try:
        partial = holder / name
        if folder:
            partial.mkdir()
        yield partial
    finally:
        shutil.rmtree(holder, ignore_errors=True)


# --- URIs: any file system that pyarrow knows ---------------------------------------------------


def is_uri(path: Out) -> bool:
    """Whether this is s3://, gs://, hdfs:// or the like, rather than a path on this machine."""
    return "://" in str(path)


def _check_uri(out: str, overwrite: bool) -> None:
    try:
        filesystem, target = pafs.FileSystem.from_uri(out)
        info = filesystem.get_file_info(target)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"out {out} cannot be written: {str(error).splitlines()[0]}") from None
    if info.type == pafs.FileType.NotFound:
        return
    if not overwrite:
        raise InputError(f"out {out} exists already; give another, or overwrite")
    if info.type == pafs.FileType.Directory:
        held = filesystem.get_file_info(pafs.FileSelector(target))
        if held and not {entry.base_name for entry in held} & set(RESULTS):
            raise InputError(f"out {out} is a folder that does not hold a result of w261reg")


def _upload_folder(folder: Path, out: str) -> None:
    filesystem, target = pafs.FileSystem.from_uri(out)
    try:
        if filesystem.get_file_info(target).type == pafs.FileType.Directory:
            filesystem.delete_dir_contents(target)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in sorted(files, key=lambda path: path.name in RESULTS):
            _upload(path, filesystem, f"{target}/{path.relative_to(folder).as_posix()}")
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"out {out} cannot be written: {str(error).splitlines()[0]}") from None


def _upload(path: Path, filesystem: pafs.FileSystem, target: str) -> None:
    filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
    with path.open("rb") as source, filesystem.open_output_stream(target) as sink:
        shutil.copyfileobj(source, sink, 2**20)


@contextmanager
def local_copy(path: Out, names: tuple[str, ...]) -> Iterator[Path]:
    """A result folder or its model.json on this disk: itself, or for a URI a copy of `names`."""
    if not is_uri(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            filesystem, target = pafs.FileSystem.from_uri(str(path).removesuffix("/model.json"))
            for name in names:
                if filesystem.get_file_info(f"{target}/{name}").type == pafs.FileType.File:
                    with filesystem.open_input_stream(f"{target}/{name}") as source:
                        (Path(folder) / name).write_bytes(source.read())
        except (OSError, pa.ArrowException, ValueError) as error:
            raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
        yield Path(folder)


def toml_file(what: str, path: str) -> dict[str, Any]:
    """A TOML file.

    Args:
        what: it is, for errors.
        path: of the file.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{what} {path} is not TOML: {error}") from None
