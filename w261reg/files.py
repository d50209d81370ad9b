"""Outputs that appear whole or not at all, and in nobody else's place."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from w261reg.errors import InputError
from w261reg.placing import (
    ASIDE,
    NAMES,
    PARTIAL,
    cut_short,
    exchange,
    move_new,
    move_new_folder,
    put_back,
    to_disk,
)
from w261reg.remote import RemotePlace, download
from w261reg.results import FILES, MODEL, check_plain, check_result
from w261reg.signals import held_back, temporary

Out = str | os.PathLike[str]
# scheme:/path, scheme://host/path, or scheme:path; a letter and a colon may be a drive
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?://([^/]*))?(.*)", re.DOTALL)
# schemes that nobody means as the beginning of a file's name
_SCHEMES = {"file", "dbfs", "hdfs", "s3", "s3a", "gs", "abfs", "abfss"}
# a disk says by these that it takes no more
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextmanager
def reserved(out: Out, overwrite: bool, folder: bool = True) -> Iterator["Place"]:
    """A place to write to, which no other run of ours takes meanwhile; changes nothing there.

    Args:
        out: a path or a URI.
        overwrite: whether a result of ours, or a file, may be replaced.
        folder: whether a folder is to be written.

    Raises:
        InputError: it cannot be written, is there already, or another run is about to write it.
    """
    if is_uri(out):
        yield RemotePlace(str(out), overwrite, folder)
        return
    with ExitStack() as lock:
        try:
            place = LocalPlace(out, overwrite, folder)
            alone = lock.enter_context(_locked(place.lock, out))
            if alone and place.inside:
                put_back(place.path)
            place.found = place.look()  # under the lock: what another run has just finished
        except InputError:
            raise
        except (OSError, ValueError) as error:  # a name that is too long, or has a null byte
            raise _unwritable(out, error) from None
        yield place


@contextmanager
def filled(place: "Place") -> Iterator[Path]:
    """A new folder or file that takes its place at the end; removed if anything fails.

    Raises:
        InputError: the disk is full, or something else has come to be there.
    """
    with _partial(place) as partial:
        try:
            yield partial
        except OSError as error:  # which may be of anything that is done meanwhile
            if error.errno not in _FULL:
                raise
            raise _unwritable(place.out, error) from None
        try:
            to_disk(partial)
            with held_back():
                place.put(partial)
        except FileExistsError:
            raise InputError(
                f"out {place.out} has come to be there while this ran: nothing there was replaced"
            ) from None
        except OSError as error:
            raise _unwritable(place.out, error) from None


@contextmanager
def replace_folder(out: Out, overwrite: bool) -> Iterator[Path]:
    """A new folder that takes the place of `out` at the end; removed if anything fails.

    Of a result that is there, w261reg's own files are replaced, and others stay.
    """
    with reserved(out, overwrite) as place, filled(place) as partial:
        yield partial


@contextmanager
def replace_file(out: Out, overwrite: bool) -> Iterator[Path]:
    """A new file that takes the place of `out` at the end; removed if anything fails."""
    with reserved(out, overwrite, folder=False) as place, filled(place) as partial:
        yield partial


def _unwritable(out: Out, error: OSError | ValueError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else None
    return InputError(f"out {out} cannot be written: {reason or error}")


class LocalPlace:
    """Where a result, or a file, is to be: on a disk of this machine. Links are followed.

    Attributes:
        out: as it was given.
        path: where that leads.
        inside: whether a folder is there, into which files are put; else it is made.
        home: the nearest folder that exists: itself, or above it.
        lock: the file by which runs exclude each other.
        found: what was there; None is nothing.
    """

    def __init__(self, out: Out, overwrite: bool, folder: bool) -> None:
        self.out, self.overwrite, self.folder = out, overwrite, folder
        given = local_path(out)
        if os.path.lexists(given) and not overwrite:
            raise InputError(f"out {out} exists already; give another, or overwrite")
        self.path = Path(os.path.realpath(given))
        cut = folder and overwrite and self.path.is_dir() and bool(cut_short(self.path))
        self.found = None if cut else self.look()
        self.inside = cut or (folder and self.found is not None)
        self.home = self.path if self.inside else self.path.parent
        while not self.home.exists():
            self.home = self.home.parent
        if not self.home.is_dir():
            raise InputError(f"out {out} cannot be written: {self.home} is not a folder")
        name = os.fsencode(self.path.relative_to(self.home))
        self.lock = self.home / f".w261reg-{hashlib.sha256(name).hexdigest()[:16]}.lock"

    def look(self) -> Any:
        """What is there, to be compared later; None is nothing. Raises InputError as `reserved`."""
        try:
            state = os.stat(self.path)
        except FileNotFoundError:
            return None
        if not self.overwrite:
            raise InputError(f"out {self.out} exists already; give another, or overwrite")
        if self.path.is_dir() != self.folder:
            kinds = ("a folder", "a file") if self.path.is_dir() else ("a file", "a folder")
            raise InputError(f"out {self.out} is {kinds[0]}, and {kinds[1]} is to be written")
        if not self.folder:
            if not self.path.is_file():
                raise InputError(f"out {self.out} is no regular file")
            return _stamp(state)
        held = [name for name in os.listdir(self.path) if not _is_ours_meanwhile(name)]
        check_result(self.out, held, lambda name: (self.path / name).read_bytes())
        check_plain(self.path)
        return (state.st_ino, _stamp(os.stat(self.path / MODEL)) if held else None)

    def put(self, partial: Path) -> None:
        """Move a finished file or folder here."""
        if self.look() != self.found:
            raise InputError(
                f"out {self.out} has changed while this ran: nothing there was replaced"
            )
        if self.inside:
            self._exchange(partial)
        elif self.folder:
            move_new_folder(partial, self.path)
        elif self.found is None:
            move_new(partial, self.path)
        else:
            os.replace(partial, self.path)

    def _exchange(self, partial: Path) -> None:
        aside = partial.parent / ASIDE
        (aside / "figures").mkdir(parents=True)
        old = [name for name in FILES if (self.path / name).is_file()]
        new = [p.relative_to(partial).as_posix() for p in partial.rglob("*") if p.is_file()]
        (partial.parent / NAMES).write_text("\n".join(old))
        if any(name.startswith("figures/") for name in new):
            (self.path / "figures").mkdir(exist_ok=True)
        exchange(old, new, str(self.path), str(aside), str(partial), move_new)
        with suppress(OSError):  # where others' files are in it
            os.rmdir(self.path / "figures")


Place = LocalPlace | RemotePlace


def _stamp(state: os.stat_result) -> tuple[int, int, int]:
    """What tells a file from another of its name."""
    return state.st_ino, state.st_size, state.st_mtime_ns


def _is_ours_meanwhile(name: str) -> bool:
    """Whether a name in a folder is that of a lock or of a part that is being written."""
    return name.startswith((".w261reg-", PARTIAL))


@contextmanager
def _locked(path: Path, out: Out) -> Iterator[bool]:
    """A context that one process, and one thread of it, can be in at a time; whether that is so.

    The lock ends with the process, however that ends. A file system without locks is used without.
    """
    alone = True
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(f"out {out} is being written by another run of w261reg") from None
        except OSError:
            alone = False
            break
        # another run may have removed the file after it was opened here, and before it was locked
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                break
        os.close(handle)
    try:
        with temporary(path):
            yield alone
    finally:
        with suppress(OSError):
            os.unlink(path)
        os.close(handle)


@contextmanager
def _partial(place: "Place") -> Iterator[Path]:
    """A place to write: where a move to its own is a rename; for a URI a local one."""
    made: list[Path] = []
    try:
        if isinstance(place, RemotePlace):
            name, beside, prefix = place.target.rsplit("/", 1)[-1], None, ".w261reg-"
        else:
            name = place.path.name
            beside = place.path if place.inside else place.path.parent
            prefix = PARTIAL if place.inside else f".{name[:32]}{PARTIAL}"
            above = [beside, *beside.parents]
            made = [folder for folder in above if not folder.exists()]
            beside.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=prefix, dir=beside))
    except OSError as error:
        raise _unwritable(place.out, error) from None
    try:
        with temporary(holder):
            partial = holder / "new" if place.folder else holder / name
            if place.folder:
                partial.mkdir()
            yield partial
    finally:
        shutil.rmtree(holder, ignore_errors=True)
        for folder in made:  # those that stayed empty
            with suppress(OSError):
                folder.rmdir()


# --- paths and URIs -----------------------------------------------------------------------------


def local_form(path: str, what: str = "data") -> str:
    """The path on this machine that `file:/x`, `file:///x` or `dbfs:/x` stand for; else as given.

    Raises:
        InputError: a scheme whose file system is named in a way that is not known here.
    """
    found = _SCHEME.match(path)
    if found is None:
        return path
    scheme, host, inner = found.group(1).lower(), found.group(2), found.group(3)
    if not inner.startswith("/"):
        if host is None and scheme in _SCHEMES:
            raise InputError(f"{what} {path}: after {scheme}: comes a whole path, from / on")
        return path
    if scheme == "file" and host in (None, "", "localhost"):
        return unquote(inner)
    if scheme == "dbfs" and os.path.isdir("/dbfs"):
        return "/dbfs" + inner
    if host is not None and scheme != "dbfs":
        return path
    known = "of Databricks is not mounted here at /dbfs" if scheme == "dbfs" else (
        f"must be written {scheme}://HOST{inner}"
    )  # fmt: skip
    raise InputError(f"{what} {path}: {scheme}:/ {known}")


def is_uri(path: Out) -> bool:
    """Whether this is s3://, gs://, hdfs:// or the like, rather than a path on this machine."""
    return "://" in str(path) and not str(path).startswith("file://")


def local_path(path: Out) -> Path:
    """A path on this machine, also one that is written file://."""
    if not str(path).startswith("file://"):
        return Path(path)
    try:
        return Path(pafs.FileSystem.from_uri(str(path))[1])
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"{path} is no path: {str(error).splitlines()[0]}") from None


def check_other(out: Out, data: str) -> None:
    """Raise InputError where a file to be written is the one that is read."""
    with suppress(OSError):
        if str(out) == data or os.path.samefile(local_path(out), local_path(local_form(data))):
            raise InputError(f"out {out} is the data: give another")


@contextmanager
def local_copy(path: Out, names: tuple[str, ...]) -> Iterator[Path]:
    """A result folder or its model.json on this disk: itself, or for a URI a copy of `names`."""
    if not is_uri(path):
        yield local_path(path)
        return
    with tempfile.TemporaryDirectory(prefix="w261reg-") as folder:
        download(path, names, Path(folder))
        yield Path(folder)
