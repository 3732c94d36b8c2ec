"""The number types of an ONNX file's network, read from its bytes: a card may be older than what became of its file."""

import mmap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from .bounded_read import failure, mapped
from .onnx_card import AGAIN, all_fields, check_file, varint

# Fields of protobuf messages: of a ModelProto, a GraphProto, a NodeProto, an AttributeProto and a TensorProto.
GRAPH, NODE, INITIALIZER, OP_TYPE, ATTRIBUTE, DIMS, DATA_TYPE = 7, 1, 5, 4, 5, 1, 2
ATTRIBUTE_NAME, ATTRIBUTE_INT, ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 1, 3, 5, 6
# Names of TensorProto.DataType; what is not here (integers of 16 bits and more, bool, text) holds no weights.
NAMES = {1: "fp32", 10: "fp16", 11: "fp64", 16: "bf16", 2: "int8", 3: "int8", 21: "int4", 22: "int4", 23: "fp4"}
NAMES |= dict.fromkeys((17, 18, 19, 20), "fp8")
LOW_FLOATS = (10, 16, 17, 18, 19, 20)  # a Cast to one of these is arithmetic in it
QUANTISED = {
    **dict.fromkeys(("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"), "int8"),
    **dict.fromkeys(("MatMulInteger", "ConvInteger"), "int8"),
    "MatMulNBits": "int4",
}
MAX_FIELDS = 1 << 23  # of one file: a second or two

Span = tuple[int, int, int]  # a field's number, and where its content begins and ends; a number is its own content


def graph_precision(path: Path) -> str:
    """The types that the network at `path` computes with: fp32, fp16, int8 and so on, several joined by `+`.

    Those of the matrices and kernels among its weights, of casts to fewer bits, and of quantised operators.
    Raises DdpmRtError when the file is no ONNX model.
    """
    return "+".join(sorted(set(_walked(path, lambda walk, start, end: walk.graph(start, end))))) or "fp32"


def operators(path: Path) -> Counter[str]:
    """The number of nodes of each operator in the graph, those inside of nodes included.

    Raises DdpmRtError when the file is no ONNX model.
    """
    return Counter(_walked(path, lambda walk, start, end: walk.operators(start, end)))


def _walked(path: Path, read: Callable[["_Walk", int, int], Iterator[str]]) -> list[str]:
    """What `read` finds in the graph of the model at `path`."""
    check_file(path)
    try:
        with mapped(path, AGAIN) as content:
            walk = _Walk(content)
            graphs = [span for field, *span in walk.spans(0, len(content)) if field == GRAPH]
            found = [one for start, end in graphs for one in read(walk, start, end)]
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        raise failure(path, "is not a whole ONNX model", AGAIN) from error
    if not graphs:
        raise failure(path, "is not a whole ONNX model", AGAIN)
    return found


def contradiction(said: str, found: str) -> str | None:
    """What is wrong with the precision that a card says, where the graph's types are `found`; None if nothing is.

    Some of a graph of few bits is always left in fp32, so that is not held against it.
    """
    if set(said.split("+")) - {"fp32"} == set(found.split("+")) - {"fp32"}:
        return None
    return f"the card says {said}, but the graph computes in {found.replace('+', ' and ')}"


class _Walk:
    """The fields of the messages in a file, without a copy of the weights."""

    def __init__(self, content: mmap.mmap | bytes) -> None:
        self._content, self._left = content, MAX_FIELDS

    def spans(self, at: int, end: int) -> Iterator[Span]:
        for field, _, first, last in all_fields(self._content, at, end):
            self._left -= 1
            if self._left < 0:
                raise ValueError("too many fields")
            yield field, first, last

    def graph(self, start: int, end: int) -> Iterator[str]:
        for field, first, last in self.spans(start, end):
            if field == NODE:
                yield from self._node(first, last)
            elif field == INITIALIZER:
                yield from self._tensor(first, last)

    def operators(self, start: int, end: int) -> Iterator[str]:
        """The operator of each node in a graph."""
        for field, first, last in self.spans(start, end):
            if field != NODE:
                continue
            for part, begin, stop in self.spans(first, last):
                if part == OP_TYPE:
                    yield self._content[begin:stop].decode("ascii", "replace")
                elif part == ATTRIBUTE:
                    yield from (one for inner, *span in self.spans(begin, stop) if inner == ATTRIBUTE_GRAPH
                                for one in self.operators(*span))  # fmt: skip

    def _node(self, start: int, end: int) -> Iterator[str]:
        operator, casts = b"", set()
        for field, first, last in self.spans(start, end):
            if field == OP_TYPE:
                operator = self._content[first:last]
            elif field == ATTRIBUTE:
                name, number = b"", 0
                for part, begin, stop in self.spans(first, last):
                    if part == ATTRIBUTE_NAME:
                        name = self._content[begin:stop]
                    elif part == ATTRIBUTE_INT:
                        number = begin
                    elif part == ATTRIBUTE_TENSOR:
                        yield from self._tensor(begin, stop)
                    elif part == ATTRIBUTE_GRAPH:
                        yield from self.graph(begin, stop)
                casts |= {number} if name == b"to" else set()
        if operator == b"Cast":
            yield from (NAMES[kind] for kind in casts if kind in LOW_FLOATS)
        if (quantised := QUANTISED.get(operator.decode("ascii", "replace"))) is not None:
            yield quantised

    def _tensor(self, start: int, end: int) -> Iterator[str]:
        """The type of a tensor that is a matrix or a kernel, and so holds weights."""
        sides, kind = 0, 0
        for field, first, last in self.spans(start, end):
            if field == DATA_TYPE:
                kind = first
            elif field == DIMS and first == last:  # one side, as a number
                sides += 1
            elif field == DIMS:  # several, packed
                at = first
                while at < last:
                    _, at = varint(self._content, at)
                    sides += 1
        if sides > 1 and kind in NAMES:
            yield NAMES[kind]
