"""Blocks in files: what is read is what was packed, to the bit, or it is said to be lost."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from w261reg.aggregators import (
    Aggregator,
    ClassificationScores,
    Evaluate,
    RegressionScores,
    Sample,
    Several,
    Summarise,
    Triangular,
)
from w261reg.blocks import Block, Census, DenseBlock, SparseBlock
from w261reg.blocks.dense import part_rows
from w261reg.blocks.store import Lost, Packed, Packer, remove, writing
from w261reg.blocks.store.files import PARTIAL, mark_of
from w261reg.datasets.tree import Leaf, finish, fold
from w261reg.losses import get_loss

Array = NDArray[np.float64]
N = 5
NEVER = 0.0  # bytes to carry: all blocks with rows go to a file


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The local directory of this executor."""
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    return tmp_path


def raw(rows: int, n: int = N, seed: int = 1) -> Array:
    """About half zeros; the second column is years, which have an origin."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, n))
    x[rng.random((rows, n)) < 0.5] = 0.0
    if n > 1:
        x[:, 1] = rng.integers(1950, 2020, rows)
    return x


def dense(rows: int = 40, seed: int = 1, n: int = N, plain: bool = False) -> Block:
    rng = np.random.default_rng(seed)
    x, y = raw(rows, n, seed), rng.integers(0, 2, rows).astype(float)
    if plain:
        x[:, 1] = rng.normal(size=rows)
    weight = np.ones(rows) if plain else rng.uniform(0.1, 2, rows)
    census = Census(rows + 3, {}, {0.0: int((y == 0).sum()), 1.0: int((y == 1).sum())})
    return DenseBlock.of(x, y, weight, census)


def csr(rows: int = 40, seed: int = 1, plain: bool = False) -> Block:
    block = dense(rows, seed, plain=plain)
    x = raw(rows, seed=seed)
    x[:, 1] = 0.0 if plain else x[:, 1]
    return SparseBlock.of(sparse.csr_array(x), block.y, block.weight, block.census)


def nothing() -> Block:
    empty = np.zeros(0)
    return DenseBlock.of(np.zeros((0, N)), empty, empty, Census(4, {("a", "NaN"): 4}, {}, "torn"))


LONG = 2 * part_rows(N) + 17
LEAVES: dict[str, list[Leaf]] = {
    "dense with weights and origin": [(0, dense())],
    "dense without": [(0, dense(plain=True))],
    "dense of several parts": [(0, dense(LONG)), (1, dense(part_rows(N))), (2, dense(1))],
    "csr with weights and origin": [(0, csr())],
    "csr without": [(0, csr(plain=True))],
    "csr without entries": [
        (0, SparseBlock.of(sparse.csr_array((3, N)), np.ones(3), np.ones(3), Census(3)))
    ],
    "float32": [(0, dense(LONG).stored_as(np.float32)), (1, csr().stored_as(np.float32))],
    "several blocks a leaf": [(3, dense(7)), (3, dense(9, 2)), (3, csr(8)), (4, dense(5, 3))],
    "empty among others": [(0, nothing()), (1, dense()), (2, nothing()), (2, csr()), (5, dense(2))],
}
CASES = pytest.mark.parametrize("name", sorted(LEAVES))


def packed(
    leaves: Iterable[Leaf], carry: float = NEVER, partition: int | None = 0, token: str = "t"
) -> Packed:
    with Packer(token, partition, carry) as packer:
        for leaf, block in leaves:
            packer.add(leaf, block)
        return packer.finish()


def sent(given: Packed) -> Packed:
    """As it arrives in another process."""
    arrived: Packed = pickle.loads(pickle.dumps(given, pickle.HIGHEST_PROTOCOL))
    return arrived


def features(block: Block) -> list[tuple[str, bytes]]:
    """The stored numbers and where they lie, part by part."""
    if isinstance(block, SparseBlock):
        x = block.x
        places = [x.indptr.astype(np.int64), x.indices.astype(np.int64)]
        return [(a.dtype.str, a.tobytes()) for a in (*places, x.data)]
    assert isinstance(block, DenseBlock)
    return [(part.dtype.str, part.tobytes()) for part in block.parts]


def contents(leaves: Iterable[Leaf]) -> list[Any]:
    """All that blocks hold, bit for bit, each looked at while it is good."""
    return [
        (
            leaf,
            type(block),
            block.rows,
            block.n_features,
            block.y.tobytes(),
            block.weight.tobytes(),
            block.reference().tobytes(),
            pickle.dumps(block.census),
            features(block),
        )
        for leaf, block in leaves
    ]


def bits(state: Any) -> Any:
    if isinstance(state, np.ndarray):
        return state.dtype.str, state.shape, state.tobytes()
    if isinstance(state, list | tuple):
        return [bits(part) for part in state]
    if isinstance(state, dict):
        return {key: bits(value) for key, value in state.items()}
    if hasattr(state, "__dict__"):
        return {key: bits(value) for key, value in vars(state).items()}
    return repr(state)


AGGREGATORS: dict[str, Aggregator[Any]] = {}


def _fill() -> None:
    rng = np.random.default_rng(2)
    w, centre = rng.normal(size=(N, 1)), np.array([0.0, 1985.0, 0.1, -0.2, 0.0])
    scale, loss = np.array([1.0, 0.125, 2.0, 1.0, 0.5]), get_loss("bxe")
    two = np.hstack([w, -w])
    AGGREGATORS.update(
        {
            "moments": Summarise(N, False),
            "gram": Summarise(N, True),
            "values": Evaluate(loss, two, np.array([0.1, 0.2]), centre, 0),
            "gradient": Evaluate(loss, w, np.array([0.1]), centre, 1),
            "gradients": Evaluate(loss, two, np.array([0.1, 0.2]), centre, 1),
            "hessian": Evaluate(loss, w, np.array([0.1]), centre, 2, scale),
            "triangular": Triangular(centre, scale, 0.3),
            "classes": ClassificationScores(loss, w[:, 0] / 100, 0.2),
            "numbers": RegressionScores(get_loss("mse"), w[:, 0], 0.2),
            "sample": Sample(Summarise(N, True), 3),
            "several": Several(Summarise(N, True), Evaluate(loss, w, np.zeros(1), centre, 2)),
        }
    )


_fill()


@CASES
@pytest.mark.parametrize("way", ["written", "carried"])
def test_what_is_read_is_what_was_packed(name: str, way: str, place: Path) -> None:
    leaves = LEAVES[name]
    there = sent(packed(leaves, NEVER if way == "written" else np.inf))
    assert there.travels == (way == "carried")
    assert len(list(place.iterdir())) == (way == "written")
    for _ in range(2):
        assert contents(there.leaves()) == contents(leaves)
    assert there.nbytes == sum(block.nbytes for _, block in leaves)


@CASES
@pytest.mark.parametrize("aggregator", sorted(AGGREGATORS))
def test_every_aggregator_sees_the_same_bits(name: str, aggregator: str) -> None:
    what, leaves = AGGREGATORS[aggregator], LEAVES[name]
    wanted = bits(finish(fold(leaves, what), what))
    there = sent(packed(leaves))
    for _ in range(2):
        assert bits(finish(fold(there.leaves(), what), what)) == wanted


@CASES
def test_ranges_are_found_again(name: str) -> None:
    """A block in memory may know its range from packing; one in a file has to look."""
    for (_, read), (_, kept) in zip(packed(LEAVES[name]).leaves(), LEAVES[name], strict=True):
        if kept.rows:
            assert bits(read.range()) == bits(kept.range())


@CASES
def test_the_fingerprint_is_that_of_the_rows(name: str) -> None:
    leaves = LEAVES[name]
    prints = {packed(leaves, carry).fingerprint for carry in (NEVER, 500.0, np.inf)}
    assert len(prints) == 1
    _, block = leaves[-1]
    other = replace(block, y=block.y + 1.0)
    assert packed([*leaves[:-1], (0, other)]).fingerprint not in prints
    if len(leaves) > 1:
        assert packed(leaves[:-1]).fingerprint not in prints


@pytest.mark.parametrize("form", [dense, csr])
@pytest.mark.parametrize("field", ["weight", "origin", "feature"])
def test_every_array_counts_in_the_fingerprint(form: Callable[..., Any], field: str) -> None:
    block = form()
    if field == "feature" and isinstance(block, DenseBlock):
        parts = tuple(part + np.eye(*part.shape) for part in block.parts)
        other = replace(block, parts=parts)
    elif field == "feature":
        other = replace(block, x=block.x * 2)
    else:
        other = replace(block, **{field: getattr(block, field) * 2})
    assert packed([(0, other)]).fingerprint != packed([(0, block)]).fingerprint


def test_blocks_travel_up_to_the_limit_and_not_beyond(place: Path) -> None:
    leaves = [(0, dense()), (1, csr()), (2, dense(3))]
    total = sum(block.nbytes for _, block in leaves)
    assert packed(leaves, total).travels
    assert list(place.iterdir()) == []
    written = packed(leaves, total - 1)
    assert not written.travels
    assert len(list(place.iterdir())) == 1
    assert contents(written.leaves()) == contents(leaves)


def test_a_partition_without_blocks_travels_as_nothing() -> None:
    there = sent(packed([]))
    assert there.travels
    assert list(there.leaves()) == []


def test_leaves_are_numbered_from_where_they_are_told() -> None:
    for carry in (NEVER, np.inf):
        there = replace(packed([(0, dense(2)), (1, dense(3))], carry), first_leaf=7)
        assert [leaf for leaf, _ in there.leaves()] == [7, 8]


def test_the_account_alone_holds_no_blocks() -> None:
    for carry in (NEVER, np.inf):
        given = packed([(0, dense(1000))], carry)
        told = given.told()
        assert (told.partition, told.fingerprint, told.nbytes) == (
            given.partition,
            given.fingerprint,
            given.nbytes,
        )
        assert not told.travels
        assert len(pickle.dumps(told)) < 1000


# --- losses -------------------------------------------------------------------------------------


def flip(path: str, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def truncate(path: str) -> None:
    os.truncate(path, os.path.getsize(path) - 1)


def extend(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"\0")


def swap(path: str) -> None:
    """Another file of the same bytes and the same time: but another file."""
    about = os.stat(path)
    Path(path + ".new").write_bytes(Path(path).read_bytes())
    os.utime(path + ".new", ns=(about.st_atime_ns, about.st_mtime_ns))
    os.replace(path + ".new", path)


def become_a_folder(path: str) -> None:
    os.remove(path)
    os.mkdir(path)


DAMAGE: dict[str, Callable[[str], None]] = {
    "deleted": os.remove,
    "truncated": truncate,
    "emptied": lambda path: os.truncate(path, 0),
    "extended": extend,
    "a byte flipped": lambda path: flip(path, 100),
    "replaced": swap,
    "touched": lambda path: os.utime(path),
    "a folder": become_a_folder,
}


@pytest.mark.parametrize("how", sorted(DAMAGE))
@pytest.mark.parametrize("form", [dense, csr])
@pytest.mark.parametrize("read", [False, True])
def test_a_file_that_is_not_what_it_was_is_lost(
    form: Callable[..., Block], how: str, read: bool
) -> None:
    there = packed([(0, form()), (1, form(30))])
    if read:
        contents(there.leaves())
    DAMAGE[how](there.path)
    with pytest.raises(Lost, match=r"w261reg-t-0-"):
        contents(there.leaves())


def unnoticed(change: Callable[[str, int], None], path: str, at: int) -> None:
    """A change that leaves size and times as they were: as a bad disk makes it."""
    about = os.stat(path)
    change(path, at)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert mark_of(os.stat(path)) == mark_of(about)


@pytest.mark.parametrize("form", [dense, csr])
@pytest.mark.parametrize("where", [0.0, 0.1, 0.2, 0.35, 0.5, 0.8, 0.999])
def test_the_checksum_finds_what_the_disk_spoiled(form: Callable[..., Block], where: float) -> None:
    """Any byte of labels, weights, origin and features, of any block of the file."""
    leaves = [(0, form()), (1, form(LONG))]
    there = packed(leaves)
    for start, stop in ((0, there.handles[1].offset), (there.handles[1].offset, 0)):
        at = int(start + where * ((stop or os.path.getsize(there.path)) - start))
        unnoticed(flip, there.path, at)
        with pytest.raises(Lost, match="checksum"):
            contents(there.leaves())
        unnoticed(flip, there.path, at)  # back again
    assert contents(there.leaves()) == contents(leaves)


@pytest.mark.parametrize("form", [dense, csr])
def test_what_is_spoiled_is_found_before_a_sum_leaves_the_task(form: Callable[..., Block]) -> None:
    for name, what in AGGREGATORS.items():
        there = packed([(0, form())])
        unnoticed(flip, there.path, 3)
        with pytest.raises(Lost, match="checksum"):
            list(fold(there.leaves(), what))
        assert name
        os.remove(there.path)


@pytest.mark.parametrize("form", [dense, csr])
@pytest.mark.parametrize("read", [0, 1, 3])
def test_every_read_is_checked(form: Callable[..., Block], read: int) -> None:
    there = packed([(0, form(LONG)), (1, form())])
    for _ in range(read):
        contents(there.leaves())
    size = os.path.getsize(there.path)
    for at in (0, size // 2, size - 1):
        unnoticed(flip, there.path, at)
        with pytest.raises(Lost, match="checksum"):
            contents(there.leaves())
        unnoticed(flip, there.path, at)
    contents(there.leaves())


def test_two_readers_of_one_file_do_not_share_what_they_read() -> None:
    """As the tasks of two fits in threads of one process."""
    leaves = [(0, dense(LONG)), (1, dense(LONG, seed=2))]
    there = packed(leaves)
    for (_, one), (_, other) in zip(
        there.leaves(), packed(leaves[::-1], partition=1).leaves(), strict=True
    ):
        assert isinstance(one, DenseBlock)
        assert isinstance(other, DenseBlock)
        for mine, theirs in zip(one.parts, other.parts, strict=True):
            assert not np.shares_memory(mine, theirs)


def test_a_file_cut_short_while_it_is_read_is_lost() -> None:
    there = packed([(0, dense(LONG))])
    contents(there.leaves())
    ((_, block),) = there.leaves()
    assert isinstance(block, DenseBlock)
    with pytest.raises(Lost):  # its file is closed: a block is good until the next one
        list(block.parts)
    leaves = there.leaves()
    leaf, own = next(leaves)
    assert leaf == 0
    assert isinstance(own, DenseBlock)
    parts = iter(own.parts)
    next(parts)
    os.truncate(there.path, os.path.getsize(there.path) // 2)
    with pytest.raises(Lost, match="is shorter than it was"):
        list(parts)


@pytest.mark.parametrize(
    ("where", "says"), [(0, "not the file that was written"), (-2, "checksum")]
)
def test_a_file_that_changes_while_it_is_read_is_lost(where: int, says: str) -> None:
    """Before what was read, and behind it."""
    there = packed([(leaf, dense(LONG, seed=leaf)) for leaf in range(3)])
    contents(there.leaves())
    leaves = there.leaves()
    next(leaves)
    with open(there.path, "r+b") as file:
        file.seek(where, os.SEEK_SET if where >= 0 else os.SEEK_END)
        file.write(b"\x01")
    with pytest.raises(Lost, match=says):
        for _, block in leaves:
            block.range()


def test_a_file_cut_short_between_blocks_is_lost() -> None:
    there = packed([(0, csr()), (1, csr(30))])
    contents(there.leaves())
    blocks = there.leaves()
    next(blocks)
    os.truncate(there.path, there.handles[1].offset + 8)
    with pytest.raises(Lost, match="is shorter than it was"):
        next(blocks)


def test_a_file_deleted_while_it_is_read_is_still_read() -> None:
    leaves = [(0, csr()), (1, dense(LONG))]
    there = packed(leaves)
    blocks = there.leaves()
    first = contents([next(blocks)])
    os.remove(there.path)
    assert first + contents(blocks) == contents(leaves)


def test_no_file_is_left_open() -> None:
    there = packed([(0, csr()), (1, dense(LONG))])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        contents(there.leaves())
        reading = there.leaves()
        next(reading)
        reading.close()  # type: ignore[attr-defined]
        packed([(0, dense())], partition=1)
    assert len(os.listdir("/proc/self/fd")) == before


# --- a disk without room, attempts that end early, clearing up ----------------------------------


class Full:
    """A disk with room for so many bytes: it takes what fits, and says so at the next write."""

    def __init__(self, file: Any, room: int, code: int) -> None:
        self.file, self.room, self.code = file, room, code

    def write(self, data: Any) -> int:
        if self.room == 0:
            raise OSError(self.code, os.strerror(self.code))
        count: int = self.file.write(data[: self.room])
        self.room -= count
        return count

    def close(self) -> None:
        self.file.close()


def fill_disk(monkeypatch: pytest.MonkeyPatch, room: int, code: int = errno.ENOSPC) -> None:
    def opened(path: str, *mode: Any, **options: Any) -> Full:
        return Full(open(path, *mode, **options), room, code)

    monkeypatch.setattr(writing, "open", opened, raising=False)


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOENT, errno.EROFS, errno.ENOTDIR]
)
@pytest.mark.parametrize("room", [0, 5, 700, 3000])
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    place: Path, monkeypatch: pytest.MonkeyPatch, room: int, code: int
) -> None:
    leaves = [(0, dense()), (1, csr()), (2, dense(30))]
    wanted = packed(leaves).fingerprint
    remove("t")
    fill_disk(monkeypatch, room, code)
    there = sent(packed(leaves))
    assert os.strerror(code) in there.full
    assert str(place) in there.full
    assert (there.path, there.travels, there.fingerprint) == ("", False, wanted)
    assert there.nbytes == sum(block.nbytes for _, block in leaves)
    assert list(place.iterdir()) == []
    with pytest.raises(Lost, match=os.strerror(code)):
        next(there.leaves())
    # carried, the same blocks need no disk
    assert contents(packed(leaves, np.inf).leaves()) == contents(leaves)


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_disk_that_vanishes_is_told(place: Path, when: str) -> None:
    """Its folder is gone before the first write, or when the file is to get its name."""
    leaves = [(0, dense()), (1, csr())]
    wanted = packed(leaves).fingerprint
    remove("t")
    with Packer("t", 0, NEVER) as packer:
        if when == "before":
            place.rmdir()
        packer.add(*leaves[0])
        if when == "while":
            shutil.rmtree(place)
        packer.add(*leaves[1])
        there = packer.finish()
    assert "No such file" in there.full
    assert (there.path, there.fingerprint) == ("", wanted)
    place.mkdir(exist_ok=True)


def test_short_writes_are_gone_on_with(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Full):
        def write(self, data: Any) -> int:
            count: int = self.file.write(data[:97])
            return count

    def opened(path: str, *mode: Any, **options: Any) -> Full:
        return Slow(open(path, *mode, **options), 0, 0)

    monkeypatch.setattr(writing, "open", opened, raising=False)
    leaves = [(0, dense()), (1, csr())]
    assert contents(packed(leaves).leaves()) == contents(leaves)


def test_other_errors_of_the_disk_are_failures(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch, 700, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        packed([(0, dense()), (1, csr())])
    assert list(place.iterdir()) == []


def test_an_aborted_packing_leaves_no_file(place: Path) -> None:
    with pytest.raises(ZeroDivisionError), Packer("t", 0, NEVER) as packer:
        packer.add(0, dense())
        (partial,) = place.iterdir()
        assert partial.name.endswith(PARTIAL)
        raise ZeroDivisionError
    assert list(place.iterdir()) == []


def test_an_attempt_replaces_the_files_of_earlier_ones_of_its_partition(place: Path) -> None:
    one, eleven = (packed([(0, dense())], partition=p) for p in (1, 11))
    other = packed([(0, dense())], partition=1, token="u")
    unknown = packed([(0, dense())], partition=None)
    running = Packer("t", 1, NEVER)
    running.add(0, dense(7))
    again = packed([(0, dense(5))], partition=1)
    kept = {Path(p.path).name for p in (eleven, other, unknown, again)}
    assert not os.path.exists(one.path)
    found = {path.name for path in place.iterdir()}
    assert {name for name in found if not name.endswith(PARTIAL)} == kept
    assert len(found) == len(kept) + 1  # an attempt that still writes goes on
    with running:
        latest = running.finish()
    assert contents(latest.leaves()) == contents([(0, dense(7))])
    assert not os.path.exists(again.path)


def test_a_partition_of_unknown_number_replaces_nothing() -> None:
    made = [packed([(0, dense())], partition=None) for _ in range(3)]
    assert all(os.path.exists(one.path) for one in made)


def test_removing_takes_the_files_of_one_dataset_only(place: Path) -> None:
    mine = [packed([(0, dense())], partition=p, token="ab") for p in (0, 1, None)]
    theirs = [packed([(0, dense())], token=token) for token in ("a", "abc")]
    (place / "something-else").touch()
    (place / f"w261reg-ab-5-0{PARTIAL}").touch()  # of a process that was killed
    assert remove("ab") == 4
    assert not any(os.path.exists(one.path) for one in mine)
    assert all(os.path.exists(one.path) for one in theirs)
    assert (place / "something-else").exists()
    assert remove("ab") == 0


def test_partitions_go_to_each_local_directory_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "a", tmp_path / "b [1]"]
    for each in places:
        each.mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", ",".join(map(str, places)))
    for partition in range(4):
        there = packed([(0, dense())], partition=partition)
        packed([(0, dense())], partition=partition)
        assert Path(there.path).parent == places[partition % 2]
    assert [len(list(each.iterdir())) for each in places] == [2, 2]
    assert remove("t") == 4
