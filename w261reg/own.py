"""A user's own loss or penalty: out of a Python file, or an object; found, and shipped by value.

A file is executed once for each text it has. Its terms are checked on random numbers before any
data is read, and travel to the executors by value: the file need not be there.
"""

import hashlib
import inspect
import re
import sys
import threading
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from w261reg.errors import InputError
from w261reg.losses import LOSSES, Loss, get_loss
from w261reg.own_checks import check_own_loss, check_own_penalty
from w261reg.penalties import Penalty
from w261reg.registry import Own, lookup

_FILE = re.compile(r"(.+\.py):([A-Za-z_]\w*)")
# terms that were read or given, by their name and the sha256 of the text that defines them, for
# models that are loaded; a fit goes by the term that came with its settings
_TERMS: dict[tuple[str, str], Any] = {}
# the modules that hold them
_MODULES: dict[str, ModuleType] = {}
_reading = threading.RLock()


def check_loss_name(name: str) -> str:
    """The name of a loss, with the loss where it is a user's own: that of `path.py:Name` is read.

    Raises:
        InputError: there is none, or the user's own is not one.
    """
    if isinstance(name, Own):
        return name
    if _FILE.fullmatch(name):
        return _read("loss", name, None)
    lookup("loss", name, LOSSES)
    return name


def read_loss(name: str, sha256: str | None = None) -> Loss:
    """The loss `path.py:Name`, checked.

    Args:
        name: path of the file, and the class in it.
        sha256: that the file's text must have; None is any.

    Raises:
        InputError: the file, the class or what it computes is not as it must be.
    """
    loss: Loss = _read("loss", name, sha256).term
    return loss


def read_penalty(name: str) -> Own:
    """The name of a penalty with its class: that of `path.py:Name` is read and checked.

    Raises InputError as `read_loss` does.
    """
    if isinstance(name, Own):
        return name
    if not _FILE.fullmatch(name):
        raise InputError(f"penalty must be path/to/file.py:Name, not {name!r}")
    return _read("penalty", name, None)


def loss_of(name: str, source: str | None, trusted: bool) -> Loss:
    """The loss of a model: its own text must be that with which the model was trained.

    Args:
        name: as in model.json, or of a model of this process.
        source: sha256 of the text that defined it; None for the package's losses.
        trusted: its file may be executed, where this process has not done so yet.

    Raises:
        InputError: it is not to be had, has changed, or would have to be executed and is not
            trusted.
    """
    if source is None or (isinstance(name, Own) and name.sha256 == source):
        return get_loss(name)
    loss: Loss | None = _TERMS.get((name, source))
    if loss is not None:
        return loss
    if _FILE.fullmatch(name):
        if not trusted:
            raise InputError(
                f"the model's loss is code, {name}, which is executed only if you say so: --trust, "
                "or name it again, --loss FILE.py:NAME (in Python load(path, trust=True) or "
                "load(path, loss=...))"
            )
        return read_loss(name, source)
    if any(known == name for known, _ in list(_TERMS)):
        raise InputError(f"loss {name} has changed since the model was trained: give it anew")
    raise InputError(
        f"loss {name} of the model was given as an object in another process: give it anew, "
        "load(path, loss=...)"
    )


def would_execute(what: str, name: Any) -> bool:
    """Whether this names a term in a Python file, path.py:Name, whose text has not been executed by
    this process yet. `what` is loss or penalty."""
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        return False
    return (name, _text(what, name, None)[1]) not in _TERMS


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
    name, sha256 = _named(kind, given)
    _of_kind("loss", name, kind)
    loss = given if isinstance(given, Loss) else _made(name, kind)
    return _known(name, _checked_loss(name, loss), sha256)


def name_penalty(given: Any) -> Any:
    """The name of a penalty that may be given as a class; anything else as it is."""
    if given is None or isinstance(given, str):
        return given
    if not (isinstance(given, type) and issubclass(given, Penalty)):
        raise InputError(
            f"penalty must be path/to/file.py:Name or a subclass of w261reg.Penalty, not {given!r}"
        )
    name, sha256 = _named(given, given)
    _of_kind("penalty", name, given)
    return _known(name, _checked_penalty(name, given), sha256)


def sources(*names: str | None) -> dict[str, str]:
    """The sha256 of the text of each of these terms that is a user's own."""
    return {str(name): name.sha256 for name in names if isinstance(name, Own)}


def ship_by_value() -> None:
    """Have pyspark send the modules of own terms along: the executors cannot import them."""
    if not _MODULES:
        return
    from pyspark import cloudpickle

    for module in list(_MODULES.values()):  # another thread may add one
        if sys.modules.get(module.__name__) is module:
            cloudpickle.register_pickle_by_value(module)


def _known(name: str, term: Any, sha256: str) -> Own:
    """The name with the term, which models of this process that are loaded find again."""
    _TERMS[name, sha256] = term
    return Own.of(name, term, sha256)


# --- files --------------------------------------------------------------------------------------


def _read(what: str, name: str, sha256: str | None) -> Own:
    """The term of a file, checked once for each text of it."""
    text, own = _text(what, name, sha256)
    with _reading:
        term = _TERMS.get((name, own))
        if term is None:
            kind = _of_kind(what, name, _class(what, name, text, own))
            term = _checked_loss(name, kind) if what == "loss" else _checked_penalty(name, kind)
        return _known(name, term, own)


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
    except ValueError as error:  # a null byte
        raise InputError(f"{what} {name}: {path} cannot be read: {error}") from None
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
    state = {} if isinstance(given, type) else _state(given)
    if state:
        shown = ", ".join(f"{key}={value!r}" for key, value in state.items())
        name += f"({shown[:60]}{'...' * (len(shown) > 60)})"
    try:
        text = Path(where).read_bytes() if where == path else inspect.getsource(kind).encode()
    except (OSError, TypeError):
        text = name.encode()
    # what a name does not show of an object or of a class made by a function, the sha256 tells
    if state:
        text += _shown(state)
    if getattr(module, kind.__qualname__, None) is not kind:
        text += b"".join(_made_with(base) for base in kind.__mro__ if base not in Loss.__mro__)
    for base in kind.__mro__:
        home = base.__module__.partition(".")[0]
        # cloudpickle sends what __main__ defines by itself
        there = home in ("builtins", "abc", "typing", "__main__", "w261reg")
        if not there and "site-packages" not in str(inspect.getsourcefile(base)):
            _MODULES[base.__module__] = sys.modules[base.__module__]
    return name, hashlib.sha256(text).hexdigest()


def _state(given: Any) -> dict[str, Any]:
    """An object's attributes, those in slots too."""
    slots = [getattr(base, "__slots__", ()) for base in type(given).__mro__]
    names = [name for own in slots for name in ((own,) if isinstance(own, str) else own)]
    found = {name: getattr(given, name) for name in names if hasattr(given, name)}
    return {**found, **getattr(given, "__dict__", {})}


def _made_with(kind: type) -> bytes:
    """What its text does not say of a class: attributes, defaults and what functions close over."""
    told: dict[str, Any] = {}
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", value)
        if isinstance(function, FunctionType):
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            given = [
                *cells,
                *(function.__defaults__ or ()),
                *(function.__kwdefaults__ or {}).items(),
            ]
            told.update({f"{name} {i}": own for i, own in enumerate(given) if own is not kind})
        elif not name.startswith(("__", "_abc_")) and name not in ("name", "title"):
            told[name] = value
    return _shown(told)


def _shown(values: dict[str, Any]) -> bytes:
    shown = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return shown.encode() + b"".join(_bytes(value) for value in values.values())


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
