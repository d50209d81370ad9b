"""What the task that reads a partition does with it: fold it, keep it, or both."""

import gc
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from w261reg.aggregators.base import Aggregator
from w261reg.blocks.store import Packed, Packer
from w261reg.datasets.tree import Leaf, Node, fold

if TYPE_CHECKING:
    from pyspark import RDD

Item = Node[Any] | Packed
_settled = False


def settle() -> None:
    """In a task: leave what is imported by now out of the garbage collection.

    PySpark's workers collect garbage after every task, which takes them 50 ms for the objects that
    imports leave behind, and the next task waits for it.
    """
    global _settled
    if not _settled:
        _settled = True
        gc.collect()
        gc.freeze()


@dataclass(frozen=True)
class Recipe:
    """The first fold rides with packing; what is lost later is packed again without it.

    Attributes:
        aggregator: what to fold, or None.
        keep: whether to pack.
        carry: bytes of a partition up to which its blocks travel instead of being written.
        only: the partitions to read; None is all. The others come out empty.
        token: of the dataset, in its files' names.
    """

    aggregator: Aggregator[Any] | None
    keep: bool
    carry: float = 0.0
    only: frozenset[int] | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def run(self, partition: int | None, leaves: Iterable[Leaf]) -> Iterator[Item]:
        """The nodes of a partition's fold, then the account of its packing.

        Args:
            partition: its number; None where it is not known yet.
            leaves: (leaf, block), ascending.
        """
        settle()
        if self.only is not None and partition is not None and partition not in self.only:
            return
        try:
            if not self.keep:
                if self.aggregator is not None:
                    yield from fold(leaves, self.aggregator)
                return
            with Packer(self.token, partition, self.carry) as packer:
                kept = _kept(leaves, packer)
                if self.aggregator is not None:
                    yield from list(fold(kept, self.aggregator))
                for _ in kept:
                    pass
                yield packer.finish()
        except Exception as error:
            error.add_note(f"w261reg: partition {partition}")  # not in what Spark says of it
            raise


def _kept(leaves: Iterable[Leaf], packer: Packer) -> Iterator[Leaf]:
    for leaf, block in leaves:
        packer.add(leaf, block)
        yield leaf, block


# builds the RDD of items that a recipe makes of the source
Reading = Callable[[Recipe], "RDD[Item]"]
