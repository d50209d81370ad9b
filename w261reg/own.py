"""A user's own loss or penalty: out of a Python file, or an object; found, and shipped by value.

A file is executed once for each text it has. Its terms are checked on random numbers before any
data is read, and travel to the executors by value: the file need not be there.
"""

import hashlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from w261reg import losses, penalties
from w261reg.errors import InputError
from w261reg.losses import LOSSES, Loss
from w261reg.own_checks import check_own_loss, check_own_penalty
from w261reg.penalties import Penalty
from w261reg.registry import lookup

_FILE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")
# sha256 of the text that defines a term, by the term's name; and the modules that hold them
_SOURCES: dict[str, str] = {}
_MODULES: dict[str, ModuleType] = {}


def check_loss_name(name: str) -> None:
    """See that there is a loss of this name, reading its file if it is `path.py:Name`.

    Raises:
        InputError: there is none, or the user's own is not one.
    """
    if _FILE.fullmatch(name):
        read_loss(name)
    elif name not in losses.OWN:
        lookup("loss", name, LOSSES)


def read_loss(name: str, sha256: str | None = None) -> Loss:
    """The loss `path.py:Name`, checked.

    Args:
        name: path of the file, and the class in it.
        sha256: that the file's text must have; None is any.

    Raises:
        InputError: the file, the class or what it computes is not as it must be.
    """
    text, own = _text("loss", name, sha256)
    if name not in losses.OWN or _SOURCES.get(name) != own:
        kind = _of_kind("loss", name, _class("loss", name, text, own))
        losses.OWN[name], _SOURCES[name] = _checked_loss(name, kind), own
    return losses.OWN[name]


def read_penalty(name: str) -> type[Penalty]:
    """The penalty `path.py:Name`, checked. Raises InputError as `read_loss` does."""
    if not _FILE.fullmatch(name):
        if name in penalties.OWN:
            return penalties.OWN[name]
        raise InputError(f"penalty must be path/to/file.py:Name, not {name!r}")
    text, own = _text("penalty", name, None)
    if name not in penalties.OWN or _SOURCES.get(name) != own:
        kind = _of_kind("penalty", name, _class("penalty", name, text, own))
        penalties.OWN[name], _SOURCES[name] = _checked_penalty(name, kind), own
    return penalties.OWN[name]


def loss_of(name: str, source: str | None, trusted: bool) -> Loss:
    """The loss of a model: its own text must be that with which the model was trained.

    Args:
        name: as in model.json.
        source: sha256 of the text that defined it; None for the package's losses.
        trusted: its file may be executed, where this process has not done so yet.

    Raises:
        InputError: it is not to be had, has changed, or would have to be executed and is not
            trusted.
    """
    if source is None:
        return losses.get_loss(name)
    if _FILE.fullmatch(name) and _SOURCES.get(name) != source:
        if not trusted:
            raise InputError(
                f"the model's loss is code, {name}, which is executed only if you say so: --trust, "
                "or name it again, --loss FILE.py:NAME (in Python load(path, trust=True) or "
                "load(path, loss=...))"
            )
        return read_loss(name, source)
    if name not in losses.OWN:
        raise InputError(
            f"loss {name} of the model was given as an object in another process: give it anew, "
            "load(path, loss=...)"
        )
    if _SOURCES[name] != source:
        raise InputError(f"loss {name} has changed since the model was trained: give it anew")
    return losses.OWN[name]


def would_execute(what: str, name: Any) -> bool:
    """Whether this names a term in a Python file, path.py:Name, whose text has not been executed by
    this process yet. `what` is loss or penalty."""
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        return False
    return name not in _SOURCES or _text(what, name, None)[1] != _SOURCES[name]


def name_loss(given: Any) -> Any:
    """The name of a loss that may be given as a class or an object; anything else as it is.

    Raises:
        InputError: it is a class or an object, but no loss.
    """
    if given is None or isinstance(given, str):
        return given
    kind = given if isinstance(given, type) else type(given)
    if not issubclass(kind, Loss):
        raise InputError(
            "loss must be a name, path/to/file.py:Name, or a class or object of w261reg.Loss, "
            f"not {given!r}"
        )
    if kind in LOSSES.values():
        return kind.name
    name, text = _named(kind, given)
    _of_kind("loss", name, kind)
    loss = given if isinstance(given, Loss) else _made(name, kind)
    losses.OWN[name], _SOURCES[name] = _checked_loss(name, loss), text
    return name


def name_penalty(given: Any) -> Any:
    """The name of a penalty that may be given as a class; anything else as it is."""
    if given is None or isinstance(given, str):
        return given
    if not (isinstance(given, type) and issubclass(given, Penalty)):
        raise InputError(
            f"penalty must be path/to/file.py:Name or a subclass of w261reg.Penalty, not {given!r}"
        )
    name, text = _named(given, given)
    _of_kind("penalty", name, given)
    penalties.OWN[name], _SOURCES[name] = _checked_penalty(name, given), text
    return name


def sources(*names: str | None) -> dict[str, str]:
    """The sha256 of the text of each of these terms that is a user's own."""
    return {name: _SOURCES[name] for name in names if name in _SOURCES}


def ship_by_value() -> None:
    """Have pyspark send the modules of own terms along: the executors cannot import them."""
    if not _MODULES:
        return
    from pyspark import cloudpickle

    for module in _MODULES.values():
        if sys.modules.get(module.__name__) is module:
            cloudpickle.register_pickle_by_value(module)


# --- files --------------------------------------------------------------------------------------


def _split(name: str) -> tuple[str, str]:
    """Path and class of `path.py:Name`."""
    path, _, attribute = name.rpartition(":")
    return path, attribute


def _text(what: str, name: str, sha256: str | None) -> tuple[bytes, str]:
    """The text of a term's file, and its sha256, which must be the one given if one is."""
    path, _ = _split(name)
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} {name}: there is no file {path}") from None
    except OSError as error:
        raise InputError(f"{what} {name}: {path} cannot be read: {error.strerror}") from None
    own = hashlib.sha256(text).hexdigest()
    if sha256 is not None and own != sha256:
        raise InputError(
            f"{what} {name}: {path} has changed since the model was trained: put back the file of "
            f"sha256 {sha256[:12]}..., or give --loss anew"
        )
    return text, own


def _class(what: str, name: str, text: bytes, sha256: str) -> Any:
    """What is called so in a file of this text."""
    path, attribute = _split(name)
    module = _module(what, name, path, text, sha256)
    if not hasattr(module, attribute):
        classes = [k for k, v in vars(module).items() if _defined_in(v, module)]
        there = f"it has {', '.join(classes)}" if classes else "it has none"
        raise InputError(f"{what} {name}: {path} has no class {attribute!r}; {there}")
    return getattr(module, attribute)


def _defined_in(value: Any, module: ModuleType) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _module(what: str, name: str, path: str, text: bytes, sha256: str) -> ModuleType:
    """The module of a file's text, executed once."""
    title = f"w261reg_own_{Path(path).stem}_{sha256[:16]}"
    if title in _MODULES:
        return _MODULES[title]
    module = ModuleType(title)
    module.__file__ = str(Path(path).absolute())
    sys.modules[title] = module  # dataclasses look their module up
    try:
        exec(compile(text, module.__file__, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[title]
        line = _line_in(error, module.__file__)
        raise InputError(
            f"{what} {name}: {path}{line} fails: {type(error).__name__}: {_first_line(error)}"
        ) from error
    _MODULES[title] = module
    return module


def _line_in(error: BaseException, path: str) -> str:
    """The last line of this file that an error came through, as ", line 3"."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f", line {line},"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


# --- objects ------------------------------------------------------------------------------------


def _named(kind: type, given: Any) -> tuple[str, str]:
    """A name for a class or an object of it, and the sha256 of the text that defines it."""
    module = sys.modules.get(kind.__module__)
    path = getattr(module, "__file__", None)
    where = str(path) if path and kind.__module__ != "__main__" else kind.__module__
    name = f"{where}:{kind.__qualname__}"
    state = {} if isinstance(given, type) else getattr(given, "__dict__", {})
    if state:
        shown = ", ".join(f"{key}={value!r}" for key, value in state.items())
        name += f"({shown[:60]}{'...' * (len(shown) > 60)})"
    try:
        text = Path(where).read_bytes() if where == path else inspect.getsource(kind).encode()
    except (OSError, TypeError):
        text = name.encode()
    # what a name does not show of an object, the sha256 tells
    if state:
        text += shown.encode() + b"".join(_bytes(value) for value in state.values())
    for base in kind.__mro__:
        home = base.__module__.partition(".")[0]
        # cloudpickle sends what __main__ defines by itself
        there = home in ("builtins", "abc", "typing", "__main__", "w261reg")
        if not there and "site-packages" not in str(inspect.getsourcefile(base)):
            _MODULES[base.__module__] = sys.modules[base.__module__]
    return name, hashlib.sha256(text).hexdigest()


def _bytes(value: Any) -> bytes:
    return value.tobytes() if isinstance(value, np.ndarray) else b""


# --- both ---------------------------------------------------------------------------------------


def _of_kind(what: str, name: str, kind: Any) -> Any:
    """The class, if it is a whole one of this kind; with a name and title if it has none."""
    base: type = Loss if what == "loss" else Penalty
    if not (isinstance(kind, type) and issubclass(kind, base) and kind is not base):
        raise InputError(f"{what} {name}: it must be a subclass of w261reg.{base.__name__}")
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        raise InputError(f"{what} {name}: {kind.__name__} does not define {', '.join(missing)}")
    if issubclass(kind, Loss) and (kind.multiclass or kind.counted):
        raise InputError(
            f"loss {name}: a loss of your own has one output: multiclass and counted must be False"
        )
    for attribute in ("name", "title"):
        if not hasattr(kind, attribute):
            setattr(kind, attribute, kind.__name__)
    return kind


def _made(name: str, kind: type[Loss]) -> Loss:
    try:
        return kind()
    except Exception as error:
        raise InputError(
            f"loss {name}: {kind.__name__}() fails: {type(error).__name__}: {_first_line(error)}"
        ) from error


def _checked_loss(name: str, given: type[Loss] | Loss) -> Loss:
    loss = given if isinstance(given, Loss) else _made(name, given)
    check_own_loss(name, loss)
    return loss


def _checked_penalty(name: str, kind: type[Penalty]) -> type[Penalty]:
    check_own_penalty(name, kind)
    return kind
