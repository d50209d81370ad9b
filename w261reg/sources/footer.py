"""The footer of a Parquet file, as far as pyarrow cannot be asked.

pyarrow's metadata of a column checks the column's statistics, and ends the process where they are
damaged. What is needed of them, the number of values, is read here: a footer is a FileMetaData of
parquet.thrift in Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
"""

from typing import Any

# types of fields; both kinds of a truth value are the field's own value
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
# numbers of fields in parquet.thrift
_ROW_GROUPS, _COLUMNS, _META_DATA, _NUM_VALUES = 4, 1, 3, 5
MAGIC = b"PAR1"


def values_of(file: Any) -> list[list[int]]:
    """How many values, nulls too, each column of each row group has.

    Args:
        file: with `seek`, `read` and `size`.

    Raises:
        ValueError, IndexError, KeyError, TypeError, RecursionError: the footer is damaged.
    """
    end = file.size() - 8
    file.seek(max(0, end))
    tail = bytes(file.read(8))
    start = end - int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or start < 0:
        raise ValueError("the file does not end as Parquet does")
    file.seek(start)
    footer = _Reader(bytes(file.read(end - start))).struct()
    return [
        [int(column[_META_DATA][_NUM_VALUES]) for column in group[_COLUMNS]]
        for group in footer[_ROW_GROUPS]
    ]


class _Reader:
    """Thrift's compact protocol: structs as their fields' values by number.

    Each value takes a byte or more, so what is damaged ends with the text.
    """

    def __init__(self, text: bytes) -> None:
        self.text, self.at = text, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            number = number + step if step else self._zigzag()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        return fields

    def _byte(self) -> int:
        self.at += 1
        return self.text[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.text):
            raise ValueError("a text that goes beyond the end")

    def _value(self, kind: int) -> Any:
        """A value; None of types that nobody asks for."""
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _STRUCT:
            return self.struct()
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4
            if count == 15:
                count = self._varint()
            return [self._value(head & 15) for _ in range(count)]
        if kind == _BINARY:
            return self._skip(self._varint())
        if kind == _DOUBLE:
            return self._skip(8)
        if kind in (_TRUE, _FALSE, _BYTE):  # in a list a truth value takes a byte
            return self._skip(1)
        raise ValueError(f"a field of type {kind}")
