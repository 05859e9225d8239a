"""Plain values of any type of the runtime, to start a corpus from."""

import random
from typing import Any

from runtime.primitives import shapes
from runtime.primitives.era import IMMORTAL, MortalEra
from runtime.primitives.shapes import shape_of
from runtime.primitives.types import MultiAddress
from runtime.runtime import EXECUTIVE, AssayRuntime


def sample(annotation: Any, rng: random.Random) -> Any:
    """Return some value of an annotation; one generator state gives one value."""
    match shape_of(annotation):
        case shapes.Integer(size) | shapes.CompactInteger(size):
            return rng.getrandbits(rng.choice((6, 14, 30, 64, 128))) % 256**size
        case shapes.SignedInteger(size):
            return rng.randrange(-(256**size) // 2, 256**size // 2)
        case shapes.Boolean():
            return rng.random() < 0.5
        case shapes.Text(limit):
            return "añ"[: min(limit or 2, 2) - 1]
        case shapes.Bytes(limit):
            return rng.randbytes(min(limit or 9, rng.randrange(9)))
        case shapes.Array(size, _):
            return rng.randbytes(size)
        case shapes.Sequence(element, limit):
            return [sample(element, rng) for _ in range(min(limit or 3, rng.randrange(4)))]
        case shapes.U16Pairs(limit):
            return [
                sample(tuple[shapes.u16, shapes.u16], rng) for _ in range(min(limit or 3, rng.randrange(4)))
            ]
        case shapes.Mapping(key, value):
            return {sample(key, rng): sample(value, rng) for _ in range(2)}
        case shapes.Tuple(elements):
            return tuple(sample(element, rng) for element in elements)
        case shapes.Option(some):
            return None if rng.random() < 0.3 else sample(some, rng)
        case shapes.Composite(_, cls, fields):
            return cls(*(sample(field.annotation, rng) for field in fields))
        case shapes.TaggedUnion(_, cases):
            case = rng.choice(cases)
            if not isinstance(case.cls, type):
                return case.cls
            return case.cls(*(sample(field.annotation, rng) for field in case.fields))
        case shapes.Lookup():
            return sample(MultiAddress, rng)
        case shapes.Special("RuntimeCall"):
            return AssayRuntime.call("System", "remark", rng.randbytes(3))
        case shapes.Special("Era"):
            return rng.choice((IMMORTAL, MortalEra(64, 3), MortalEra(1 << 16, 16)))
        case shapes.Special("UncheckedExtrinsic"):
            return EXECUTIVE.format.bare(AssayRuntime.call("System", "remark", b"bare"))
        case shapes.Special("EventRecords"):
            return []
    raise TypeError(annotation)
