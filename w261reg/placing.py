"""Finished files moved to where they belong: all of them or none, and over nothing else.

An exchange that was killed in the middle, which leaves a folder without a model, is undone by the
next run that writes there.
"""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from w261reg.results import FILES, MODEL

Move = Callable[[str, str], None]
# a folder of what is being written, in the one where it is to be; in it, of an exchange, the names
# of all old files, and those of them that have left
PARTIAL, NAMES, ASIDE = ".partial-", "replaced", "old"
# a file system that has no hard links says so by one of these
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def move_new(source: str | Path, target: str | Path) -> None:
    """Move a file to a place where nothing is. Raises FileExistsError where something is."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))  # ours from here on
        os.replace(source, target)
        return
    os.unlink(source)


def move_new_folder(source: Path, target: Path) -> None:
    """Move a folder to a place where nothing is. Raises FileExistsError where something is.

    A rename takes the place of an empty folder; so an empty one is made first, which fails where
    there is any.
    """
    os.mkdir(target)
    try:
        os.rename(source, target)
    except BaseException as error:
        with suppress(OSError):
            os.rmdir(target)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(error.errno, os.strerror(error.errno), str(target)) from None
        raise


def exchange(
    old: Sequence[str], new: Sequence[str], folder: str, aside: str, partial: str, move: Move
) -> None:
    """Take a result's old files out of a folder and put new ones in; all back if that fails.

    The old model leaves first and the new one comes last, so that no reader finds a model beside
    another's files. Other files in the folder are not touched.

    Args:
        old, new: names, as in results.FILES.
        folder: of the result.
        aside: an empty folder for the old files.
        partial: folder of the new files.
        move: moves a file to a place where nothing is.
    """
    order = {name: k for k, name in enumerate(FILES)}
    moves = [
        (f"{folder}/{name}", f"{aside}/{name}")
        for name in sorted(old, key=lambda name: -order[name])
    ] + [
        (f"{partial}/{name}", f"{folder}/{name}")
        for name in sorted(new, key=lambda name: order[name])
    ]
    done: list[tuple[str, str]] = []
    try:
        for source, target in moves:
            done.append((source, target))
            move(source, target)
    except BaseException:
        for source, target in reversed(done):
            with suppress(FileNotFoundError, FileExistsError):  # the one that did not come about
                move(target, source)
        raise


def cut_short(folder: Path) -> list[Path]:
    """What exchanges that are under way, or were killed, hold of a folder's files."""
    model = folder / MODEL  # the first to leave, and the last to come
    if model.is_file() and model.stat().st_size > 0:
        return []
    holders = sorted(folder.glob(f"{PARTIAL}*"))
    return [at for at in holders if (at / NAMES).is_file() and (at / ASIDE / MODEL).is_file()]


def put_back(folder: Path) -> None:
    """Undo exchanges that were killed. Nobody else may be writing to the folder."""
    for holder in cut_short(folder):
        old = (holder / NAMES).read_text().splitlines()
        for name in FILES:  # the model last, so that this can be killed, too
            source, target = holder / ASIDE / name, folder / name
            # an empty one is the place of a move that did not come about, without hard links
            if source.is_file() and not (source.stat().st_size == 0 and target.is_file()):
                target.parent.mkdir(exist_ok=True)
                os.replace(source, target)
            elif name not in old:
                target.unlink(missing_ok=True)  # one of the new
        shutil.rmtree(holder, ignore_errors=True)


def to_disk(partial: Path) -> None:
    """See that what was written is on the disk: one that is full may say so only now."""
    for path in [partial] if partial.is_file() else sorted(partial.rglob("*")):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def remove(path: Path) -> None:
    """Remove a folder of ours, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
