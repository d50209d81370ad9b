"""CSV and LIBSVM that are damaged, or were made to harm: an answer, or one line; by a seed."""

import bz2
import gzip
import random
import sys
from pathlib import Path

import pytest

from tests.sources.helpers import leaves_of, libsvm_line, problem
from w261reg.errors import MOST, InputError, printable
from w261reg.opening import check_width
from w261reg.output import check_csv, from_bytes, table_writer, to_bytes
from w261reg.sources import Columns, open_path
from w261reg.sources import csv as csv_module
from w261reg.sources import text as text_module
from w261reg.sources.select import select

GIVEN = problem(60)
CSV = GIVEN.frame.assign(s='a,"b').to_csv(index=False).encode()
LIBSVM = "".join(
    f"{libsvm_line(label, row)}\n" for label, row in zip(GIVEN.y, GIVEN.x, strict=True)
).encode()
HEAD, ROWS = b"x1,x2,label,s\n", b"1,2,0,a\n2,1,1,b\n1.5,3,0,c\n"
DIGITS = b"9" * 5000


def outcome(path: Path) -> str:
    """What training, and predicting to both formats, ends as: "" or one line."""
    try:
        source = open_path(str(path))
        if source.positional:
            width = source.vector_width("features")
            check_width(width)
            names = tuple(f"x{j}" for j in range(1, width + 1))
            columns = Columns(("features",), names, vector=True, label="label", classes=True)
            source = source.for_model(width, False)
        else:
            columns = select(source.schema, features=("x1", "x2"), label="label",
                             classification=True)  # fmt: skip
        for _, block in leaves_of(source, columns):
            if block.census.invalid or block.census.defects:
                return block.census.invalid or str(block.census.defects)
        check_csv(source.schema)
        for text in (True, False):
            with table_writer(path.with_name("out"), csv=text) as writer:
                for _, rows in source.through(
                    source.handles(columns.n_features), columns.columns, text
                ):
                    writer.write(from_bytes(to_bytes(rows)))
        return ""
    except InputError as error:
        return str(error)


def check(line: str) -> None:
    assert len(line) <= MOST
    assert line == printable(line)
    assert "\n" not in line


CASES: dict[str, tuple[bytes, str]] = {
    "null byte.csv": (HEAD + ROWS + b"1,\0,1,d\n", "'x2' is not numeric"),
    "null byte that passes.csv": (HEAD + ROWS + b"1,2,1,d\0d\n", ""),
    "null byte in the header.csv": (HEAD.replace(b",", b"\0,", 1) + ROWS, "holds null bytes"),
    "null bytes.csv": (b"\0" * 5000, "holds null bytes"),
    "one line.csv": (b"a" * 3_000_000, "is not CSV"),
    "long value.csv": (HEAD + ROWS + b"1,2,0," + b"a" * 3_000_000, ""),
    "long header.csv": (HEAD[:-1] + (b"," + b"c" * 79) * 2**14 + b"\n1", "Expected 16388 columns"),
    "utf-16.csv": (CSV.decode().encode("utf-16"), "in UTF-16: save it anew"),
    "utf-16 without a mark.csv": (CSV.decode().encode("utf-16-be"), "holds null bytes"),
    "utf-32.csv": (CSV.decode().encode("utf-32"), "save it anew"),
    "latin-1.csv": (HEAD + ROWS + b"1,2,0,\xe9\n", "not in UTF-8: save it anew"),
    "latin-1 in the header.csv": (b"x1,x2,label,\xe9\n1,2,0,d\n", "is not CSV in UTF-8"),
    "surrogate.csv": (HEAD + ROWS + b"1,2,0,\xed\xa0\x80\n", "not in UTF-8"),
    "mark in the middle.csv": (HEAD + ROWS + b"\xef\xbb\xbf1,2,0,a\n", r"as '\ufeff1' in row 4"),
    "open quote.csv": (HEAD + ROWS + b'1,2,0,"d\n' + ROWS, "line 5: a quote is not closed"),
    "open quote at the end.csv": (HEAD + ROWS + b'1,2,0,"d', "line 5: a quote is not closed"),
    "two open quotes.csv": (
        HEAD + ROWS + b'1,2,0,"d\n' + ROWS + b'1,2,0,"d\n', "line 5: a quote is not closed"),
    "open quote in the header.csv": (b'"x1,x2,label\n' + b"1,2,0\n" * 99, "is not CSV"),
    "quotes.csv": (b'"' * 100_001, "is not CSV"),
    "carriage returns.csv": ((HEAD + ROWS).replace(b"\n", b"\r"), ""),
    "no rows of any kind.csv": (b"\n\r" * 5000, "is empty"),
    "digits.csv": (HEAD + ROWS + DIGITS + b",2,0,a\n", "('x1', 'infinite'): 1"),
    "digits of a fraction.csv": (HEAD + ROWS + b"0." + DIGITS + b",2,0,a\n", ""),
    "1e400.csv": (HEAD + ROWS + b"1e400,2,0,a\n", "('x1', 'infinite'): 1"),
    "exponent.csv": (HEAD + ROWS + b"1e" + DIGITS + b",2,0,a\n", "('x1', 'infinite'): 1"),
    "inf.csv": (HEAD + ROWS + b"inf,2,0,a\n", "('x1', 'infinite'): 1"),
    "label of 1e400.csv": (HEAD + ROWS + b"1,2,1e400,a\n", "('label', 'infinite'): 1"),
    "underscore.csv": (HEAD + ROWS + b"1_000,2,0,a\n", "as '1_000' in row 4"),
    "other digits.csv": (HEAD + ROWS + "١,2,0,a\n".encode(), "as '١' in row 4"),
    "true and 2.csv": (b"x1,x2,label\n" + b"true,1,0\n" * 2**17 + b"2,2,1\n",
                       "holds '2', which is not true or false, in row 131073"),
    "truncated.csv.gz": (gzip.compress(CSV)[:-300], "cannot be read: Truncated"),
    "other content.csv.gz": (CSV, "cannot be read: zlib inflate failed"),
    "wrong sum.csv.gz": (gzip.compress(CSV)[:-8] + b"\0" * 8, "cannot be read"),
    "no gzip header.csv.gz": (b"\x1f\x8b", "cannot be read"),
    "truncated.csv.bz2": (bz2.compress(CSV)[:-300], "cannot be read"),
    "random.csv.zst": (b"\x28\xb5\x2f\xfd" + DIGITS, "cannot be read"),
    "null byte.libsvm": (LIBSVM + b"1 1:1\0\n", "line 61 is not LIBSVM"),
    "mark.libsvm": (b"\xef\xbb\xbf" + LIBSVM, ""),
    "mark": (b"\xef\xbb\xbf" + LIBSVM, ""),
    "mark in the middle.libsvm": (LIBSVM + b"\xef\xbb\xbf1 1:2\n", "line 61 is not LIBSVM"),
    "utf-16.libsvm": (LIBSVM.decode().encode("utf-16"), "line 1 is not LIBSVM"),
    "latin-1.libsvm": (LIBSVM + b"1 1:\xe9\n", "line 61 is not LIBSVM"),
    "carriage returns.libsvm": (LIBSVM.replace(b"\n", b"\r"), "line 1 is not LIBSVM"),
    "line ends of two.libsvm": (LIBSVM.replace(b"\n", b"\r\n"), ""),
    "index of 2^31.libsvm": (LIBSVM + b"1 2147483648:1\n", "line 61 has the feature index 2147"),
    "index of 2^31 - 1.libsvm": (LIBSVM + b"1 2147483647:1\n", "line 61: the feature index 2147"),
    "index of 1e8.libsvm": (LIBSVM + b"1 100000000:1\n", "makes a model of 100,000,000"),
    "index of 2^63.libsvm": (LIBSVM + b"1 9223372036854775808:1\n", "index 9223372036854775808, a"),
    "index beyond doubles.libsvm": (LIBSVM + b"1 1:3 18446744073709551617:1\n",
                                    "line 61 has the feature index 18446744073709551617, above"),
    "index of digits.libsvm": (LIBSVM + b"1 " + DIGITS + b":1\n",
                               "line 61 has the feature index 99999999999999999999..., above"),
    "index of 0.libsvm": (LIBSVM + b"1 0:1\n", "line 61 is not LIBSVM"),
    "negative index.libsvm": (LIBSVM + b"1 -3:1\n", "line 61 is not LIBSVM"),
    "half an index.libsvm": (LIBSVM + b"1 1.5:1\n", "line 61 is not LIBSVM"),
    "index that is none.libsvm": (LIBSVM + b"1 nan:1\n", "line 61 is not LIBSVM"),
    "value of digits.libsvm": (LIBSVM + b"1 1:" + DIGITS + b"\n", "'infinite'): 1"),
    "label of digits.libsvm": (DIGITS + b" 1:1\n" + LIBSVM, "('label', 'infinite'): 1"),
    "1e400.libsvm": (LIBSVM + b"1 1:1e400\n", "('features', 'infinite'): 1"),
    "underscore.libsvm": (LIBSVM + b"1 1:1_0\n", "line 61 is not LIBSVM"),
    "two colons.libsvm": (LIBSVM + b"1 1:2:3 4\n", "line 61 is not LIBSVM"),
    "no label.libsvm": (LIBSVM + b"1:2 3\n", "line 61 is not LIBSVM"),
    "no label at first.libsvm": (b"1:2 3\n" + LIBSVM, "line 1 is not LIBSVM"),
    "colons.libsvm": (LIBSVM + b":" * 10_000, "line 61 is not LIBSVM"),
    "long word.libsvm": (LIBSVM + b"a" * 3_000_000, "line 61 is not LIBSVM"),
    "long comment.libsvm": (b"#" * 100_000 + b"\n" + LIBSVM, ""),
    "truncated.libsvm.gz": (gzip.compress(LIBSVM)[:-300], "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_case(tmp_path: Path, name: str) -> None:
    content, says = CASES[name]
    (tmp_path / name).write_bytes(content)
    line = outcome(tmp_path / name)
    check(line)
    assert (says in line) if says else line == ""


def test_an_open_quote_in_a_long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each span knows of its own quotes only."""
    monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", 64)
    path = tmp_path / "t.csv"
    for value, closed in (("d", ""), ("d\n9,9,1,e", '"'), ("d\n" * 40, '"')):
        path.write_bytes(HEAD + ROWS * 9 + f'1,2,0,"{value}{closed}\n'.encode() + ROWS * 9)
        line = outcome(path)
        check(line)
        assert "line 29: a quote is not closed; in a file of this length" in line
    path.write_bytes(HEAD + ROWS * 9 + b'1,2,0,"d"\n\n' + ROWS * 9)
    assert outcome(path) == ""


def test_a_header_may_be_longer_than_what_types_are_inferred_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_module, "HEAD", 16)
    path = tmp_path / "t.csv"
    path.write_bytes(CSV)
    assert open_path(str(path)).schema.names == [*GIVEN.frame, "s"]
    monkeypatch.setattr(csv_module, "LINE_BYTES", 32)
    path.write_bytes(b"a" * 100)
    assert "has a header of more than 32 bytes" in outcome(path)


def largest_mapping() -> int:
    """Bytes of the largest private mapping of this process that may be written to."""
    found = 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, rights = line.split()[:2]
        if rights == "rw-p":
            start, end = (int(edge, 16) for edge in where.split("-"))
            found = max(found, end - start)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_damaged_archives_leave_no_memory_taken(tmp_path: Path) -> None:
    """Of a failed read of 2 GiB those would be gone each time, and no process could be started."""
    path = tmp_path / "t.libsvm.gz"
    path.write_bytes(gzip.compress(LIBSVM)[:-8] + b"\0" * 8)
    outcome(path)
    before = largest_mapping()
    for _ in range(4):
        assert "cannot be read" in outcome(path)
    assert largest_mapping() < before + 2**30


PIECES = (b"\0", b"\xff\xfe", b"\xe9", b"\xef\xbb\xbf", b'"', b'""', b"\r", b"\n", b"\r\n\r\n",
          b",", b":", b"#", b"-", DIGITS, b"1e400", b"inf", b"nan", b"2147483648:1",
          b" 100000000:1", b" 0:1", b" -1:1", b" qid:3", b"_", b" ", b"\t", b"\x1b[31m",
          "\u202e".encode(), b"=1+1", b"x" * 70_000)  # fmt: skip


@pytest.mark.parametrize("seeds", [range(80), pytest.param(range(80, 2000),
                                                           marks=pytest.mark.long)])  # fmt: skip
def test_random_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range) -> None:
    refused = 0
    for seed in seeds:
        rng = random.Random(seed)
        ending, data = rng.choice([(".csv", CSV), (".libsvm", LIBSVM), ("", CSV), ("", LIBSVM)])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            piece = rng.choice((*PIECES, bytes([rng.randrange(256)])))
            data = data[:at] + piece + data[at + rng.choice((0, 0, len(piece))) :]
        if rng.random() < 0.2:
            data = data[: rng.randrange(len(data))]
        if ending and rng.random() < 0.3:
            ending, packed = ending + ".gz", bytearray(gzip.compress(data, mtime=0))
            for _ in range(rng.randint(0, 2)):
                packed[rng.randrange(len(packed))] = rng.randrange(256)
            data = bytes(packed[: rng.randrange(len(packed))] if rng.random() < 0.2 else packed)
        monkeypatch.setattr(text_module, "TEXT_LEAF_BYTES", rng.choice((100, 1000, 2**24)))
        path = tmp_path / f"{seed}{ending}"
        path.write_bytes(data)
        try:
            line = outcome(path)
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}")
        check(line)
        refused += line != ""
        path.unlink()
    assert len(seeds) // 3 < refused < len(seeds)
