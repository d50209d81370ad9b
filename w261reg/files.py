"""Outputs that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from w261reg.errors import InputError

# what tells a result folder of ours from one that must not be replaced
RESULTS = ("model.json", "comparison.json", "report.html")


def check_out(out: str | os.PathLike[str], overwrite: bool) -> Path:
    """Raise InputError where `out` could not be written; nothing is changed."""
    path = Path(out)
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise InputError(f"out {path} exists already; give another, or overwrite")
        if path.is_dir() and any(path.iterdir()) and not any((path / r).is_file() for r in RESULTS):
            raise InputError(f"out {path} is a folder that does not hold a result of w261reg")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise InputError(f"out {path} cannot be written: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"out {path} cannot be written: no permission in {parent}")
    return path


@contextmanager
def replace_folder(out: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """A new folder beside `out` that takes its place at the end; removed if anything fails."""
    path = check_out(out, overwrite)
    with _partial(path, folder=True) as partial:
        yield partial
        if path.exists():
            aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-", dir=path.absolute().parent))
            path.rename(aside / "old")  # a rename cannot replace a folder that is not empty
            partial.rename(path)
            shutil.rmtree(aside)
        else:
            partial.rename(path)


@contextmanager
def replace_file(out: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """A new file beside `out` that takes its place at the end; removed if anything fails."""
    path = check_out(out, overwrite)
    if path.is_dir():
        raise InputError(f"out {path} is a folder, and a file is to be written")
    with _partial(path, folder=False) as partial:
        yield partial
        os.replace(partial, path)


@contextmanager
def _partial(path: Path, folder: bool) -> Iterator[Path]:
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.absolute().parent))
    except OSError as error:
        raise InputError(f"out {path} cannot be written: {error.strerror}") from None
    try:
        partial = holder / path.name
        if folder:
            partial.mkdir()
        yield partial
    finally:
        shutil.rmtree(holder, ignore_errors=True)
