"""Blocks in a persisted RDD; a pass is one job."""

import math
import pickle
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from pyspark import RDD, SparkContext, StorageLevel

from w261reg.aggregators.base import Aggregator
from w261reg.datasets.base import Dataset
from w261reg.datasets.describe import described
from w261reg.datasets.failure import spark_failures
from w261reg.datasets.tree import Leaf, Node, count_nodes, finish, fold
from w261reg.errors import InputError

S = TypeVar("S")

# shares that the driver merges on its own; above it a second level of tasks does
DRIVER_SHARE_BYTES = 2**26
DRIVER_SHARE_NODES = 256
# a closure of this size travels with each task; a larger one is broadcast
CLOSURE_BYTES = 2**16


class RddDataset(Dataset):
    """Leaves in the partitions of an RDD, which the first pass reads, packs and keeps.

    Args:
        rdd: (leaf, block), ascending within each partition, a leaf in one partition only.
        n_features: n.
        leaves: the leaf numbers of each partition, where they are known beforehand.
        aggregation_depth: 1 merges all shares on the driver; each further level is a stage of
            tasks in between. None chooses by the number and the size of the shares.
    """

    def __init__(
        self,
        rdd: "RDD[Leaf]",
        n_features: int,
        leaves: Sequence[Sequence[int]] | None = None,
        aggregation_depth: int | None = None,
    ) -> None:
        super().__init__(n_features)
        self.rdd = rdd.persist(StorageLevel.MEMORY_AND_DISK)
        self.context: SparkContext = rdd.context
        self.tasks = rdd.getNumPartitions()
        self.depth = aggregation_depth
        # a partition of unknown leaves is taken for one leaf, as those of a DataFrame are
        self.nodes = [count_nodes(part) for part in leaves] if leaves else [1] * self.tasks
        largest = [max(part, default=0) for part in leaves] if leaves else [self.tasks - 1]
        self.last_leaf = max(largest, default=0)
        self.limit = _bytes(self.context.getConf().get("spark.driver.maxResultSize", "1g") or "1g")

    @property
    def parallelism(self) -> str:
        return f"{self.tasks} Spark task{'s' * (self.tasks > 1)} on {self.context.master}"

    def release(self) -> None:
        self.rdd.unpersist()

    def _run(self, aggregator: Aggregator[S]) -> S:
        depth = self._depth(aggregator)
        shipped, broadcast = self._ship(aggregator)

        def share(index: int, leaves: Iterable[Leaf]) -> Iterator[Node[Any]]:
            try:
                yield from fold(leaves, _unship(shipped))
            except Exception as error:
                error.add_note(f"w261reg: partition {index}")  # not in what Spark says of it
                raise

        try:
            with (
                described(self.context, aggregator.name),
                spark_failures(f"the pass for {aggregator.name}"),
            ):
                nodes: RDD[Node[Any]] = self.rdd.mapPartitionsWithIndex(share)
                groups = self.tasks
                for level in range(depth - 1, 0, -1):
                    groups = max(1, math.ceil(self.tasks ** (level / depth)))
                    nodes = self._merge_in_tasks(nodes, groups, shipped)
                collected = nodes.collect()
        finally:
            if broadcast is not None:
                broadcast.destroy()
        if not collected:
            raise InputError("the data has no rows")
        return finish(collected, aggregator)[2]

    def _merge_in_tasks(
        self, nodes: "RDD[Node[Any]]", groups: int, shipped: Any
    ) -> "RDD[Node[Any]]":
        """A stage of at most `groups` tasks, each merging the nodes of one subtree."""
        top = max(0, math.ceil(math.log2((self.last_leaf + 1) / groups)))

        def key(node: Node[Any]) -> tuple[int, Node[Any]]:
            level, index, _ = node
            return (index >> (top - level) if level <= top else index << (level - top)), node

        def merge(pairs: Iterable[tuple[int, Node[Any]]]) -> Iterator[Node[Any]]:
            aggregator = _unship(shipped)
            below: dict[int, list[Node[Any]]] = {}
            for group, node in pairs:
                if node[0] > top:
                    yield node  # spans several subtrees: its merge comes later
                else:
                    below.setdefault(group, []).append(node)
            for _, members in sorted(below.items()):
                yield finish(members, aggregator, top)

        keyed = nodes.map(key)
        return keyed.partitionBy(groups, lambda group: group).mapPartitions(merge)

    def _ship(self, aggregator: Aggregator[Any]) -> tuple[Any, Any]:
        """The aggregator as it travels: by closure, or by broadcast if it is large."""
        pickled = pickle.dumps(aggregator, pickle.HIGHEST_PROTOCOL)
        if len(pickled) <= CLOSURE_BYTES:
            return aggregator, None
        broadcast = self.context.broadcast(aggregator)
        return broadcast, broadcast

    def _depth(self, aggregator: Aggregator[Any]) -> int:
        """Levels of merging; refuses a pass whose shares the driver could not take."""
        each = aggregator.nbytes()
        nodes = sum(self.nodes)
        depth = self.depth
        if depth is None:
            many = nodes > DRIVER_SHARE_NODES or nodes * each > DRIVER_SHARE_BYTES
            depth = 2 if many and self.tasks > 2 else 1
        if depth > 1:
            groups = math.ceil(self.tasks ** (1 / depth))
            nodes = min(nodes, 2 * groups + max(0, self.last_leaf.bit_length()))
        if 0 < self.limit < nodes * each:
            raise InputError(
                f"the pass for {aggregator.name} would bring {nodes} shares of "
                f"{each / 2**20:,.0f} MiB to the driver, {nodes * each / 2**20:,.0f} MiB, over "
                f"spark.driver.maxResultSize of {self.limit / 2**20:,.0f} MiB: raise it, use fewer "
                f"tasks or a larger aggregation_depth, or a solver without a Hessian (gd)"
            )
        return depth


def _unship(shipped: Any) -> Any:
    return shipped if isinstance(shipped, Aggregator) else shipped.value


def _bytes(size: str) -> int:
    """Spark's notation of a size in bytes: 1g, 512m, 0 for no limit."""
    found = re.fullmatch(r"\s*(\d+)\s*([kmgtp]?)i?b?\s*", size.lower())
    if not found:
        return 0
    return int(found.group(1)) << (
        10 * ("kmgtp".index(found.group(2)) + 1 if found.group(2) else 0)
    )
