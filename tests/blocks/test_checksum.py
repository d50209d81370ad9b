"""What a disk or memory may do to bytes changes their checksum."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from w261reg.blocks.store.checksum import WIDTH, checksum

PAGE = 8 * WIDTH
LENGTHS = [1, 7, 8, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 5 * PAGE + 13]
Bytes = NDArray[np.uint8]


def some(length: int, seed: int = 1) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, length).astype(np.uint8)


@pytest.mark.parametrize("length", LENGTHS)
def test_any_flipped_bit(length: int) -> None:
    data = some(length)
    right = checksum(data)
    rng = np.random.default_rng(2)
    places = {0, length - 1, *rng.integers(0, length, 200).tolist()}
    for at in sorted(places):
        for bit in range(8):
            data[at] ^= 1 << bit
            assert checksum(data) != right, (at, bit)
            data[at] ^= 1 << bit
    assert checksum(data) == right


def trade(data: Bytes, unit: int, one: int, other: int) -> None:
    cut = [slice(unit * k, unit * (k + 1)) for k in (one, other)]
    data[cut[0]], data[cut[1]] = data[cut[1]].copy(), data[cut[0]].copy()


def top_bits(data: Bytes) -> None:
    """Two signs."""
    for at in (7, PAGE + 7):
        data[at] ^= 0x80


DAMAGE: dict[str, Callable[[Bytes], None]] = {
    "a page of zeros": lambda data: data[PAGE : 2 * PAGE].fill(0),
    "the page before once more": lambda data: np.copyto(data[PAGE : 2 * PAGE], data[:PAGE]),
    "pages that trade places": lambda data: trade(data, PAGE, 0, 2),
    "words that trade places below each other": lambda data: trade(data, 8, 3, 3 + WIDTH),
    "words that trade places anywhere": lambda data: trade(data, 8, 3, 2 * WIDTH + 9),
    "bytes moved by one": lambda data: np.copyto(data[1:], data[:-1].copy()),
    "two top bits": top_bits,
    "a sector of ones": lambda data: data[512:1024].fill(255),
    "the end alone": lambda data: data[-3:].fill(0),
}


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_damage(how: str) -> None:
    for seed in range(5):
        data = some(4 * PAGE + 24, seed)
        right, before = checksum(data), data.copy()
        DAMAGE[how](data)
        assert (data != before).any()
        assert checksum(data) != right


def test_of_arrays_one_after_the_other() -> None:
    """Their order tells, and their type does not."""
    one, other = some(PAGE + 8), some(2 * PAGE, 3)
    assert checksum(one, checksum(other)) != checksum(other, checksum(one))
    for kind in ("<f8", "<f4", "<i4", "<i8"):
        assert checksum(other.view(kind), checksum(one.view(kind))) == checksum(
            other, checksum(one)
        )
    assert checksum(other.view("<f8").reshape(32, -1)) == checksum(other)
    assert checksum(np.zeros(0), 5) == 5
