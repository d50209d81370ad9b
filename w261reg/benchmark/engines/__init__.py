"""The engines; one small file each, found by their names."""

from w261reg.benchmark.engines.base import Answer, Engine, Options
from w261reg.errors import InputError
from w261reg.registry import discover

ENGINES: dict[str, type[Engine]] = discover(__name__, __path__, Engine)  # type: ignore[type-abstract]


def engine_names(usual: bool = False) -> list[str]:
    """All names, variants included, or those that run unless engines are named."""
    names = []
    for name, engine in ENGINES.items():
        variants = engine.usual if usual else ("", *engine.variants)
        names += [f"{name}:{variant}" if variant else name for variant in variants]
    return names


def get_engine(full_name: str, options: Options | None = None) -> Engine:
    """The engine called `name` or `name:variant`.

    Raises:
        InputError: there is none.
    """
    name, _, variant = full_name.partition(":")
    if full_name not in engine_names():
        raise InputError(f"engines must be of {', '.join(engine_names())}, not {full_name!r}")
    return ENGINES[name](variant, options)


__all__ = ["ENGINES", "Answer", "Engine", "Options", "engine_names", "get_engine"]
