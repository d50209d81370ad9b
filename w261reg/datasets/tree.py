"""The ordered tree in which leaves are merged: the same bits however the work is cut.

A leaf is a fixed run of rows, numbered by the data alone. The tree pairs siblings, numbers 2i and
2i + 1 of a level; a node whose sibling has no rows moves up unchanged. Any set of tasks that merges
siblings only, and any driver that finishes the rest, computes the same tree and so the same bits.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from w261reg.aggregators.base import Aggregator
from w261reg.blas import one_blas_thread
from w261reg.blocks import Block

S = TypeVar("S")
Leaf = tuple[int, Block]
Node = tuple[int, int, S]  # level, index, state


def fold(leaves: Iterable[Leaf], aggregator: Aggregator[S]) -> Iterator[Node[S]]:
    """Fold each leaf and merge siblings, holding at most one node a level.

    Args:
        leaves: (leaf, block) in ascending order; consecutive blocks of one number are one leaf.
        aggregator: what to compute.

    Yields:
        The nodes that are left, at most 2 log2 of the number of leaves where those are contiguous.
    """
    stack: list[Node[S]] = []
    current = -1
    state: Any = None
    with one_blas_thread():
        for leaf, block in leaves:
            if leaf != current:
                if current >= 0:
                    _push(stack, (0, current, state), aggregator)
                current, state = leaf, aggregator.begin(leaf)
            state = aggregator.add(state, block)
        if current >= 0:
            _push(stack, (0, current, state), aggregator)
    yield from stack


def _push(stack: list[Node[S]], node: Node[S], aggregator: Aggregator[S]) -> None:
    level, index, state = node
    while stack and index % 2 == 1 and stack[-1][:2] == (level, index - 1):
        state = aggregator.merge(stack.pop()[2], state)
        level, index = level + 1, index // 2
    stack.append((level, index, state))


def finish(nodes: Iterable[Node[S]], aggregator: Aggregator[S], top: int | None = None) -> Node[S]:
    """Merge nodes into the one above them all.

    Args:
        nodes: any set that covers its part of the tree, in any order.
        aggregator: what merges them.
        top: the level at which to stop; None is where one node is left.
    """
    waiting: dict[int, dict[int, S]] = {}
    for level, index, state in nodes:
        waiting.setdefault(level, {})[index] = state
    level = min(waiting)
    with one_blas_thread():
        while True:
            row = waiting.pop(level)
            if level == top or (top is None and not waiting and len(row) == 1):
                break
            above = waiting.setdefault(level + 1, {})
            for index in sorted(row):
                if index % 2 == 1 and index - 1 in row:
                    continue  # merged with its left sibling
                state = row[index]
                if index % 2 == 0 and index + 1 in row:
                    state = aggregator.merge(state, row[index + 1])
                above[index // 2] = state
            level += 1
    ((index, state),) = row.items()
    return level, index, state


def count_nodes(leaves: Sequence[int]) -> int:
    """How many nodes `fold` leaves over for these leaf numbers, in ascending order."""
    stack: list[tuple[int, int]] = []
    for leaf in leaves:
        level, index = 0, leaf
        while stack and index % 2 == 1 and stack[-1] == (level, index - 1):
            stack.pop()
            level, index = level + 1, index // 2
        stack.append((level, index))
    return len(stack)
