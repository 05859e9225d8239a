"""Any values of a type, for tests of codecs and metadata."""

from typing import Any

from hypothesis import strategies as st

from runtime.primitives import shapes
from runtime.primitives.era import IMMORTAL
from runtime.primitives.pairs import Pairs
from runtime.primitives.shapes import shape_of
from runtime.primitives.types import MultiAddress
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import call

EXTRINSIC = EXECUTIVE.format.bare(call("System", "remark", b"bare"))


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return any values of an annotation."""
    match shape_of(annotation):
        case shapes.Integer(size) | shapes.CompactInteger(size):
            return st.integers(0, 256**size - 1)
        case shapes.SignedInteger(size):
            return st.integers(-(256**size) // 2, 256**size // 2 - 1)
        case shapes.Boolean():
            return st.booleans()
        case shapes.Text(limit):
            return st.text("abcé", max_size=min(limit or 9, 9) // 2)
        case shapes.Bytes(limit):
            return st.binary(max_size=min(limit or 9, 9))
        case shapes.Array(size, _):
            return st.binary(min_size=size, max_size=size)
        case shapes.Sequence(element, limit):
            return st.lists(values(element), max_size=min(limit or 2, 2))
        case shapes.U16Pairs():
            return st.builds(Pairs, st.lists(values(tuple[shapes.u16, shapes.u16]), max_size=2))
        case shapes.Mapping(key, value):
            return st.dictionaries(values(key), values(value), max_size=2)
        case shapes.Tuple(elements):
            return st.tuples(*(values(element) for element in elements))
        case shapes.Option(some):
            return st.none() | values(some)
        case shapes.Composite(_, cls, fields):
            return st.builds(cls, *(values(field.annotation) for field in fields))
        case shapes.TaggedUnion(_, cases):
            return st.one_of([one_case(case) for case in cases])
        case shapes.Lookup():
            return values(MultiAddress)
        case shapes.Special("RuntimeCall"):
            return st.just(call("System", "remark", b"inner"))
        case shapes.Special("Era"):
            return st.just(IMMORTAL)
        case shapes.Special("UncheckedExtrinsic"):
            return st.just(EXTRINSIC)
    raise TypeError(annotation)


def one_case(case: shapes.Case) -> st.SearchStrategy[Any]:
    if not isinstance(case.cls, type):
        return st.just(case.cls)
    return st.builds(case.cls, *(values(field.annotation) for field in case.fields))
