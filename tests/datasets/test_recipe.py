"""What the task that reads a partition does with it: fold, keep, or both."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.problems import example, leaves_of
from w261reg.aggregators import Summarise
from w261reg.blocks.store import Packed
from w261reg.datasets.recipe import Recipe
from w261reg.datasets.tree import Leaf, fold

PROBLEM = example("bxe", m=200)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    return tmp_path


def leaves() -> list[Leaf]:
    return leaves_of(PROBLEM.x, PROBLEM.y, PROBLEM.weight, 7)


def once() -> Iterator[Leaf]:
    """A source is read once."""
    yield from leaves()


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("carry", [0.0, math.inf])
def test_folds_and_keeps_as_told(folds: bool, keep: bool, carry: float, place: Path) -> None:
    gram = Summarise(4, gram=True)
    items = list(Recipe(gram if folds else None, keep, carry).run(3, once()))
    nodes = [item for item in items if not isinstance(item, Packed)]
    wanted = list(fold(leaves(), gram)) if folds else []
    assert [node[:2] for node in nodes] == [node[:2] for node in wanted]
    for node, other in zip(nodes, wanted, strict=True):
        np.testing.assert_array_equal(node[2].moments, other[2].moments)
    packed = [item for item in items if isinstance(item, Packed)]
    assert len(packed) == keep
    assert len(list(place.iterdir())) == (keep and carry == 0)
    for own in packed:
        assert items[-1] is own
        assert own.partition == 3
        kept = list(own.leaves())
        assert [leaf for leaf, _ in kept] == list(range(7))
        assert [block.rows for _, block in kept] == [block.rows for _, block in leaves()]


def test_the_fold_sees_blocks_before_all_are_read() -> None:
    """A partition is never in memory whole: its blocks are folded and written one by one."""
    seen: list[int] = []

    class Watching(Summarise):
        def add(self, state, block):  # type: ignore[no-untyped-def]
            seen.append(block.rows)
            return super().add(state, block)

    def source() -> Iterator[Leaf]:
        for number, leaf in enumerate(leaves()):
            assert len(seen) == number
            yield leaf

    list(Recipe(Watching(4, gram=True), keep=True).run(0, source()))
    assert len(seen) == 7


@pytest.mark.parametrize("keep", [False, True])
def test_an_error_names_the_partition_and_leaves_no_file(keep: bool, place: Path) -> None:
    def broken() -> Iterator[Leaf]:
        yield leaves()[0]
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn") as caught:
        list(Recipe(Summarise(4, gram=False), keep).run(11, broken()))
    assert caught.value.__notes__ == ["w261reg: partition 11"]
    assert list(place.iterdir()) == []


def test_each_dataset_has_a_token_of_its_own() -> None:
    assert len({Recipe(None, True).token for _ in range(100)}) == 100
