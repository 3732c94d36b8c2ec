"""One of several equal parts of a request, for one of several machines."""

from dataclasses import replace
from typing import NamedTuple

from ..limits import MAX_COUNT, check_count
from .request import Kind


class Shard(NamedTuple):
    """Part `number` of `parts`, from 0."""

    number: int
    parts: int

    def check(self) -> None:
        """Raises ValueError unless there is such a part."""
        check_count("the number of shards", self.parts, MAX_COUNT)
        if not 0 <= self.number < self.parts:
            raise ValueError(f"there is no shard {self}; the shards are 0/{self.parts} to {self.last}")

    @property
    def last(self) -> str:
        return f"{self.parts - 1}/{self.parts}"

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


def samples_of(shard: Shard, first: int, count: int, batch: int) -> range:
    """The samples of a shard, a contiguous range of whole batches, empty where there are fewer batches than shards.

    Every sample is in a batch of the same size as when one machine draws all of them, so the images are equal to the
    bit on equal machines. Raises ValueError unless there is such a shard.
    """
    shard.check()
    batches = -(-count // batch)
    begin, end = (batches * number // shard.parts * batch for number in (shard.number, shard.number + 1))
    return range(first + min(begin, count), first + min(end, count))


def part_of(request: Kind, shard: Shard) -> Kind | None:
    """The request for the samples of a shard, None where it has none.

    Raises ValueError where every sample has an image or a noise of its own: such a file must be divided.
    """
    samples = samples_of(shard, request.first, request.count, request.batch)
    for name in ("images", "noise"):
        if len(getattr(request, name, ())) > 1:
            raise ValueError(f"--shard cannot divide a file of several {name}; divide the file, and use --first")
    return replace(request, first=samples.start, count=len(samples)) if samples else None
