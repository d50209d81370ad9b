"""Quotes in CSV: where a header ends, where records end, and whether every quote is closed."""

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")


def header_end(text: bytes) -> int | None:
    """Where the first record ends: behind the first line break outside of quotes."""
    quotes, at = 0, 0
    for found in _LINE_END.finditer(text):
        quotes += text.count(b'"', at, found.start())
        at = found.start()
        if quotes % 2 == 0:
            return found.end()
    return None


def whole_records(start: bytes) -> bytes:
    """A file's beginning without what may be the first part of a record, if more is left then."""
    cut = start[: start.rfind(b"\n") + 1]
    while cut.count(b'"') % 2:
        cut = cut[: cut.rfind(b'"')]
        cut = cut[: cut.rfind(b"\n") + 1]
    return cut or start


def unclosed(text: bytes, rows: int, delimiter: str, many_lines: bool) -> int | None:
    """Where a value begins with a quote that nothing closes; None where there is no such value.

    The parser takes all that follows such a quote, up to the next one or the end, for the value: so
    many rows are gone without a word.

    Args:
        text: of whole rows.
        rows: that were found in it; as many as lines are no value of several.
        delimiter: between values.
        many_lines: whether quotes may be closed on a later line.
    """
    if b'"' not in text:
        return None
    lines = text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
    start = 0
    if rows == lines + (not text.endswith((b"\n", b"\r"))):  # but the last may end with the text
        start = max(text.rfind(b"\n", 0, -1), text.rfind(b"\r", 0, -2)) + 1
    value, values = _values(delimiter, many_lines)
    found = values.match(text, start)
    at = found.end() if found else start
    return None if value.fullmatch(text, at) else at


def _values(delimiter: str, many_lines: bool) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A value as the parser reads it, and a run of them with what ends each.

    A value may go on behind the quote that closes it, as `"a" x` does, but for one of several
    lines: there the quote is one that opens another value.
    """
    end = re.escape(delimiter.encode()) + rb"\r\n"
    several = rb'"(?:[^"]|"")*+"(?=[' + end + rb"]|\Z)|" if many_lines else b""
    one = rb'"(?:[^"\r\n]|"")*+"[^' + end + rb']*+|[^"' + end + rb"][^" + end + rb"]*+|"
    value = rb"(?:" + several + one + rb")"
    return re.compile(value), re.compile(rb"(?:" + value + rb"[" + end + rb"])*+")
