"""Blocks in files of the executors; a pass is one job."""

import logging
import math
import pickle
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from py4j.protocol import Py4JError
from pyspark import RDD, SparkContext, StorageLevel, TaskContext, cloudpickle

from w261reg.aggregators.base import Aggregator
from w261reg.blocks.store import Lost, Packed, remove
from w261reg.datasets import later
from w261reg.datasets.base import Dataset
from w261reg.datasets.describe import described
from w261reg.datasets.failure import lacks_disk, spark_failures
from w261reg.datasets.local import LocalDataset
from w261reg.datasets.recipe import Item, Reading, Recipe, settle
from w261reg.datasets.tree import Node, count_nodes, finish, fold
from w261reg.errors import ComputeError, InputError
from w261reg.own import ship_by_value

S = TypeVar("S")
log = logging.getLogger("w261reg")

# shares that the driver merges on its own; above it a second level of tasks does
DRIVER_SHARE_BYTES = 2**26
DRIVER_SHARE_NODES = 256
# a closure of this size travels with each task; a larger one is broadcast
CLOSURE_BYTES = 2**16
# how often what was lost is packed again within one pass
MAX_ROUNDS = 8
# persisted twins of the packing at a time
MAX_GENERATIONS = 4
# what a Spark job takes beside its work, for estimates
JOB_SECONDS = 0.1


@dataclass(frozen=True)
class Missing:
    """A partition whose blocks are lost, and why.

    Attributes:
        partition: its number.
        why: they are.
        full: whether there was no room for them.
        repeated: whether the task that says so is one that Spark started once more.
    """

    partition: int
    why: str
    full: bool = False
    repeated: bool = False


class RddDataset(Dataset):
    """Packed blocks where the tasks that read them ran; the driver knows them by handles.

    The first pass reads, folds and packs in one go. Its RDD of handles is persisted, so that later
    tasks go where the files are; Spark packs again what goes with an executor, and what else is
    missing is packed again under a new *generation*, a persisted twin, within the same pass. A
    fingerprint of every partition tells whether its rows are those of the first pass.

    Args:
        context: the running Spark.
        reading: makes the RDD of a recipe's items.
        partitions: how many it has.
        n_features: n.
        leaves: the leaf numbers of each partition, where they are known beforehand.
        aggregation_depth: 1 merges all shares on the driver; each further level is a stage of
            tasks in between. None chooses by the number and the size of the shares.
        collect_bytes: packed size up to which further passes run on the driver.
    """

    def __init__(
        self,
        context: SparkContext,
        reading: Reading,
        partitions: int,
        n_features: int,
        leaves: Sequence[Sequence[int]] | None = None,
        aggregation_depth: int | None = None,
        collect_bytes: int = 0,
    ) -> None:
        super().__init__(n_features)
        self.context, self.reading, self.tasks = context, reading, partitions
        self.cores = max(1, min(partitions, context.defaultParallelism))
        self.overhead, self.travels = JOB_SECONDS, True
        self.depth = aggregation_depth
        self.most_depth = sys.maxsize  # less where executors' disks did not take what was merged
        self.carry = collect_bytes / max(1, partitions)
        self.recipe = Recipe(None, keep=True)
        # a partition of unknown leaves is taken for one leaf, as those of a DataFrame are
        self.nodes = [count_nodes(part) for part in leaves] if leaves else [1] * self.tasks
        largest = [max(part, default=0) for part in leaves] if leaves else [self.tasks - 1]
        self.last_leaf = max(largest, default=0)
        self.limit = _bytes(self.context.getConf().get("spark.driver.maxResultSize", "1g") or "1g")
        self.told: dict[int, Packed] = {}
        self.full: set[int] = set()
        self.spoiled = False
        self.generations: list[RDD[Item]] = []
        self.generation_of = [0] * partitions
        self.collected: LocalDataset | None = None
        self.asked: list[int] = []  # the partition of each task of the running job

    @property
    def parallelism(self) -> str:
        if self.collected is not None:
            return f"collected from {self.context.master}: {self.collected.parallelism}"
        return f"{self.tasks} Spark task{'s' * (self.tasks > 1)} on {self.context.master}"

    def release(self) -> None:
        """Delete the files, where the executors still have them, and forget the handles."""
        token = self.recipe.token

        def delete(items: Iterable[Any]) -> Iterator[int]:
            for _ in items:  # a task that leaves input unread costs its worker
                pass
            yield remove(token)

        places: list[RDD[Any]] = list(self.generations)
        try:
            with spark_failures("release"), described(self.context, "release"):
                if self.spoiled or len(places) > 1:
                    # what failed or is lost would be read again by tasks of these: any will do
                    tasks = 2 * self.context.defaultParallelism
                    places = [self.context.parallelize(range(tasks), tasks)]
                for place in places:
                    self.context.runJob(place, delete)
        except (InputError, ComputeError, AttributeError) as error:
            # a Spark that has gone takes its files along; the answer is not to be lost for it
            if isinstance(error, AttributeError) and self.context._jsc is not None:
                raise
            log.debug("packed blocks could not be deleted: %s", error)
        self._forget()

    def release_later(self) -> None:
        if self.generations or self.spoiled:
            later.start(threading.Thread(target=self.release, name="w261reg release"))

    def _forget(self) -> None:
        for generation in self.generations:
            with suppress(Py4JError, ConnectionError):
                generation.unpersist()
        self.generations = []

    def _run(self, aggregator: Aggregator[S], keep: bool) -> S:
        if self.collected is not None:
            return self.collected.aggregate(aggregator)
        depth = self._depth(aggregator)
        self.asked[:] = range(self.tasks)
        ship_by_value()
        with (
            spark_failures(f"the pass for {aggregator.name}", self.asked),
            described(self.context, aggregator.name),
        ):
            if self.generations:
                nodes = self._pass(aggregator, depth)
            else:
                nodes = self._first(aggregator, depth, keep)
        if not nodes:
            raise InputError("the data has no rows")
        return finish(nodes, aggregator)[2]

    # --- the first pass -------------------------------------------------------------------------

    def _first(self, aggregator: Aggregator[Any], depth: int, keep: bool) -> list[Node[Any]]:
        recipe = replace(
            self.recipe,
            aggregator=aggregator,
            keep=keep,
            carry=self.carry if depth == 1 else 0.0,
        )
        read = self.reading(recipe)
        if keep:
            read = read.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            if depth == 1:
                items = read.collect()  # the JVM reads the persisted items: no second Python task
            else:
                items = self._merged(read.map(_told), depth, aggregator, aggregator)
        except BaseException:
            if keep:
                self.spoiled = True
                read.unpersist()
            raise
        nodes, packed = _sorted(items)
        if keep:
            self.generations = [read]
            self._account(packed)
        return nodes

    def _account(self, packed: list[Packed]) -> None:
        """Keep what the first pass says of the packing; and the blocks, where they came along."""
        self.told = {own.partition: own.told() for own in packed}
        if full := [Missing(own.partition, own.full, True) for own in packed if own.full]:
            self._renew(full)
        if packed and all(own.travels for own in packed):
            ordered = sorted(packed, key=lambda own: own.partition)
            leaves = [leaf for own in ordered for leaf in own.leaves()]
            self.collected = LocalDataset(leaves, self.n_features)
            self._forget()

    # --- later passes ---------------------------------------------------------------------------

    def _pass(self, aggregator: Aggregator[Any], depth: int) -> list[Node[Any]]:
        """The nodes of all partitions; what is missing is packed again, and asked again."""
        nodes: list[Node[Any]] = []
        todo = list(range(self.tasks))
        with self._shipped(aggregator) as shipped:
            for _ in range(MAX_ROUNDS):
                depth = min(depth, self.most_depth)
                rdd, partitions = self._union(todo)
                self.asked[:] = todo
                if depth == 1:
                    items = self.context.runJob(rdd, _folding(shipped), partitions)
                else:
                    folded = rdd.mapPartitions(_folding(shipped))
                    items = self._merged(folded, depth, aggregator, shipped)
                missing = [item for item in items if isinstance(item, Missing)]
                own, told = _sorted(items)
                self._check(told)
                if not missing:
                    return nodes + own
                if depth == 1:
                    nodes += own
                    todo = [lost.partition for lost in missing]
                if repeated := sorted(lost.partition for lost in missing if lost.repeated):
                    self._provoke(aggregator, repeated)
                log.info("packing again what is lost: %s", missing[0].why)
                self._renew(missing)
        raise ComputeError(
            f"the pass for {aggregator.name} lost partition {missing[0].partition} {MAX_ROUNDS} "
            f"times: {missing[0].why}"
        )

    def _provoke(self, aggregator: Aggregator[Any], partitions: list[int]) -> None:
        """Fold partitions from the source, for what may fail in it.

        A task that fails is repeated where its blocks may not be, and to say that they are missing
        ends it well: Spark then tells nobody why it failed. Read from the source nothing is
        missing, so that what fails again and again is told.
        """
        recipe = replace(self.recipe, aggregator=aggregator, keep=False, only=frozenset(partitions))
        self.asked[:] = partitions
        self.context.runJob(self.reading(recipe), _drain, partitions)

    def _check(self, told: list[Packed]) -> None:
        for own in told:
            first = self.told.get(own.partition)
            if first is not None and first.fingerprint != own.fingerprint:
                raise ComputeError(
                    f"partition {own.partition} was read again and gave other rows than at first: "
                    "the data changed during the fit, or is computed in another order each time "
                    "(write it to Parquet and train on that)"
                )

    def _renew(self, missing: list[Missing]) -> None:
        """A new generation for these partitions; those that no partition uses are dropped."""
        if full := {lost.partition for lost in missing if lost.full} - self.full:
            self.full |= full
            log.warning(
                f"no room for packed blocks ({missing[0].why}): {len(self.full)} of {self.tasks} "
                "partitions travel with every pass instead, which is slower"
            )
        partitions = {lost.partition for lost in missing}
        if len(self.generations) >= MAX_GENERATIONS:
            partitions = set(range(self.tasks))
        carry = float("inf") if partitions & self.full else 0.0
        only = frozenset(partitions)
        recipe = replace(self.recipe, aggregator=None, keep=True, carry=carry, only=only)
        new = self.reading(recipe).persist(StorageLevel.MEMORY_AND_DISK)
        for partition in partitions:
            self.generation_of[partition] = len(self.generations)
        self.generations.append(new)
        used = sorted(set(self.generation_of))
        for number, generation in enumerate(self.generations):
            if number not in used:
                generation.unpersist()
        self.generations = [self.generations[number] for number in used]
        self.generation_of = [used.index(number) for number in self.generation_of]

    def _union(self, todo: list[int]) -> tuple["RDD[Item]", list[int]]:
        """An RDD with these partitions in it, and where; all others are empty in it."""
        if len(self.generations) == 1:
            return self.generations[0], todo
        union = self.context.union([self._current(g) for g in range(len(self.generations))])
        return union, [self.generation_of[p] * self.tasks + p for p in todo]

    def _current(self, number: int) -> "RDD[Item]":
        """A generation without what a later one holds anew."""
        current = {p for p, own in enumerate(self.generation_of) if own == number}

        def keep(items: Iterable[Item]) -> Iterator[Item]:
            for item in items:
                if isinstance(item, Packed) and item.partition in current:
                    yield item

        return self.generations[number].mapPartitions(keep, preservesPartitioning=True)

    # --- merging --------------------------------------------------------------------------------

    def _merged(
        self, items: "RDD[Any]", depth: int, aggregator: Aggregator[Any], shipped: Any
    ) -> list[Any]:
        """The items, merged in tasks and brought to the driver.

        Between its stages Spark writes to the executors' disks. Where they do not take it, this and
        all later passes merge at fewer levels, at the last on the driver alone.
        """
        while True:
            try:
                return self._merge(items, depth, shipped).collect()
            except Py4JError as error:
                size = self._shares(depth - 1) * aggregator.nbytes()
                if depth == 1 or not lacks_disk(error) or 0 < self.limit < size:
                    raise
            log.warning(
                f"shares could not be merged in tasks at aggregation_depth {depth}, for want of a "
                f"disk: going on with {depth - 1}"
            )
            depth = self.most_depth = depth - 1

    def _merge(self, items: "RDD[Any]", depth: int, shipped: Any) -> "RDD[Any]":
        """The items with the nodes merged in tasks, one stage a level."""
        for level in range(depth - 1, 0, -1):
            groups = max(1, math.ceil(self.tasks ** (level / depth)))
            items = self._merge_in_tasks(items, groups, shipped)
        return items

    def _merge_in_tasks(self, items: "RDD[Any]", groups: int, shipped: Any) -> "RDD[Any]":
        """A stage of at most `groups` tasks, each merging the nodes of one subtree."""
        top = max(0, math.ceil(math.log2((self.last_leaf + 1) / groups)))

        def key(item: Any) -> tuple[int, Any]:
            if isinstance(item, Packed | Missing):
                return item.partition, item
            level, index, _ = item
            return (index >> (top - level) if level <= top else index << (level - top)), item

        def merge(pairs: Iterable[tuple[int, Any]]) -> Iterator[Any]:
            aggregator = _unship(shipped)
            below: dict[int, list[Node[Any]]] = {}
            for group, item in pairs:
                if isinstance(item, Packed | Missing) or item[0] > top:
                    yield item  # a node that spans several subtrees: its merge comes later
                else:
                    below.setdefault(group, []).append(item)
            for _, members in sorted(below.items()):
                yield finish(members, aggregator, top)

        keyed = items.map(key)
        return keyed.partitionBy(groups, lambda group: group).mapPartitions(merge)

    @contextmanager
    def _shipped(self, aggregator: Aggregator[Any]) -> Iterator[Any]:
        """The aggregator as it travels: by closure, or by broadcast if it is large."""
        pickled: bytes = cloudpickle.dumps(aggregator)
        if len(pickled) <= CLOSURE_BYTES:
            yield aggregator
            return
        # by pickle alone a broadcast would name the class of a user's own loss, not hold it
        broadcast = self.context.broadcast(pickled)
        try:
            yield broadcast
        finally:
            broadcast.destroy()

    def _depth(self, aggregator: Aggregator[Any]) -> int:
        """Levels of merging; refuses a pass whose shares the driver could not take."""
        each = aggregator.nbytes()
        nodes = self._shares(1)
        depth = self.depth
        if depth is None:
            many = nodes > DRIVER_SHARE_NODES or nodes * each > DRIVER_SHARE_BYTES
            depth = 2 if many and self.tasks > 2 else 1
        depth = min(depth, self.most_depth)
        nodes = self._shares(depth)
        if 0 < self.limit < nodes * each:
            raise InputError(
                f"the pass for {aggregator.name} would bring {nodes} shares of "
                f"{each / 2**20:,.0f} MiB to the driver, {nodes * each / 2**20:,.0f} MiB, over "
                f"spark.driver.maxResultSize of {self.limit / 2**20:,.0f} MiB: raise it, use fewer "
                f"tasks or a larger aggregation_depth, or a solver without a Hessian (gd)"
            )
        return depth

    def _shares(self, depth: int) -> int:
        """How many the driver gets, at most, at so many levels of merging."""
        nodes = sum(self.nodes)
        if depth > 1:
            groups = math.ceil(self.tasks ** (1 / depth))
            nodes = min(nodes, 2 * groups + max(0, self.last_leaf.bit_length()))
        return nodes


def _folding(shipped: Any) -> Any:
    """The task of a pass: fold a partition's blocks, or say that they are missing."""

    def share(items: Iterable[Item]) -> Iterator[Any]:
        settle()
        for own in [item for item in items if isinstance(item, Packed)]:  # drains the input
            try:
                nodes = list(fold(own.leaves(), _unship(shipped)))
            except Lost as lost:
                task = TaskContext.get()
                repeated = task is not None and task.attemptNumber() > 0
                yield Missing(own.partition, str(lost), bool(own.full), repeated)
            except Exception as error:
                error.add_note(f"w261reg: partition {own.partition}")  # not in what Spark says
                raise
            else:
                yield from nodes
                yield own.told()

    return share


def _drain(items: Iterable[Item]) -> list[int]:
    return [sum(1 for _ in items)]


def _told(item: Item) -> Item:
    return item.told() if isinstance(item, Packed) else item


def _sorted(items: list[Any]) -> tuple[list[Node[Any]], list[Packed]]:
    """Nodes, and the accounts of partitions."""
    packed = [item for item in items if isinstance(item, Packed)]
    return [item for item in items if not isinstance(item, Packed | Missing)], packed


def _unship(shipped: Any) -> Any:
    return shipped if isinstance(shipped, Aggregator) else pickle.loads(shipped.value)


def _bytes(size: str) -> int:
    """Spark's notation of a size in bytes: 1g, 512m, 0 for no limit."""
    found = re.fullmatch(r"\s*(\d+)\s*([kmgtp]?)i?b?\s*", size.lower())
    if not found:
        return 0
    return int(found.group(1)) << (
        10 * ("kmgtp".index(found.group(2)) + 1 if found.group(2) else 0)
    )
