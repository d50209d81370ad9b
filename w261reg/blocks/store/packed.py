"""A partition's blocks, as they travel."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace

from w261reg.blocks.base import Block
from w261reg.blocks.store.files import Handle, Mark
from w261reg.blocks.store.reading import Lost, Reader


@dataclass(frozen=True)
class Packed:
    """A partition's blocks, as they travel: handles of a file, or the blocks themselves.

    Attributes:
        partition: its number.
        fingerprint: of what was packed: another one means other rows.
        nbytes: of the blocks.
        path, mark, handles: of its file; "" and None where there is none.
        blocks: (leaf, block), pickled, where they travel; b"" where they do not.
        full: why there is neither: no room on the disk; or "".
        first_leaf: added to the leaves' numbers.
    """

    partition: int
    fingerprint: int
    nbytes: int
    path: str = ""
    mark: Mark | None = None
    handles: tuple[Handle, ...] = ()
    blocks: bytes = b""
    full: str = ""
    first_leaf: int = 0

    def leaves(self) -> Iterator[tuple[int, Block]]:
        """(leaf, block) in order; a block is good until the next one. Raises Lost."""
        found: Iterator[tuple[int, Block]]
        if self.full:
            raise Lost(self.full)
        if self.path:
            assert self.mark is not None
            found = Reader(self.path, self.mark, self.handles).leaves()
        else:
            found = iter(pickle.loads(self.blocks))
        for leaf, block in found:
            yield leaf + self.first_leaf, block

    @property
    def travels(self) -> bool:
        """Whether the blocks are in here."""
        return bool(self.blocks)

    def told(self) -> "Packed":
        """The account alone, without what it tells of."""
        return replace(self, path="", mark=None, handles=(), blocks=b"")
