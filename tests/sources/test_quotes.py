"""Where quotes of CSV begin and end."""

import pytest

from w261reg.sources.quotes import header_end, unclosed, whole_records


@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"a,b\n1", 4),
        (b'"a\nb"\r\n1', 7),
        (b"a\rb", 2),
        (b'"a\nb', None),
        (b"", None),
        (b"a", None),
    ],
)
def test_a_header_ends_at_a_line_break_outside_of_quotes(text: bytes, end: int | None) -> None:
    assert header_end(text) == end


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (b"a\n1\n2", b"a\n1\n"),
        (b'a\n"1\n2', b"a\n"),
        (b'a\n"1\n"\n"2\n', b'a\n"1\n"\n'),
        (b"a", b"a"),
    ],
)
def test_a_beginning_is_cut_to_whole_records(start: bytes, wanted: bytes) -> None:
    assert whole_records(start) == wanted


@pytest.mark.parametrize(
    ("text", "rows", "at"),
    [
        (b'1,"a\n2,b\n', 1, 2),  # up to the end
        (b'1,"a\n2,b\n3,"c\n', 1, 2),  # up to a quote that opens another
        (b'1,a\n\n2,"b', 2, 7),
        (b'1,a\n2,"b', 2, 6),
        (b'1,a\r\n2,"b\r\n', 2, 7),
        (b'1,"a"\r\n2,"b"\r\n', 2, None),
        (b'1,"a\nb"\n2,c\n', 2, None),
        (b'1,"a\n""b"""\r\n2,c', 2, None),
        (b'1,5" pipe\n2,"a\nb"\n', 2, None),  # a quote inside of a bare value is text
        (b'1,"a" x\n2,"a\nb"\n', 2, None),
        (b'1,"a\nb" x\n2,c\n', 2, 2),
        (b'1,"a\r2,b\r', 1, 2),
        (b"1,a\n\n2,b\n", 2, None),
    ],
)
def test_a_quote_that_nothing_closes(text: bytes, rows: int, at: int | None) -> None:
    assert unclosed(text, rows, ",", many_lines=True) == at
    shifted = text.replace(b",", b"|")
    assert unclosed(shifted, rows, "|", many_lines=True) == at


def test_where_values_have_no_line_breaks() -> None:
    assert unclosed(b'1,"a"\n2,"b\nc"\n', 2, ",", many_lines=False) == 8
    assert unclosed(b'1,"a"\n\n2,"b"\n', 2, ",", many_lines=False) is None


def test_many_values_need_no_stack() -> None:
    assert unclosed(b'1,"a\nb"\n' * 200_000, 200_000, ",", many_lines=True) is None
