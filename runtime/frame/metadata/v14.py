"""Metadata V14, generated from the declarations. Source: frame-metadata, v14::RuntimeMetadataV14."""

from runtime.frame.base import Runtime
from runtime.frame.extension import Extension
from runtime.frame.extrinsic import VERSION
from runtime.frame.metadata.pallets import MAGIC, Writer
from runtime.frame.metadata.registry import COMPACT


def metadata(runtime: Runtime, extensions: tuple[Extension, ...]) -> bytes:
    """Return the metadata of a runtime as bound to some state (its constants may differ by chain).

    "meta" | 14 | registry | pallets | extrinsic type, version, extensions | runtime type
    """
    writer = Writer(runtime, extensions)
    pallets = [writer.pallet(pallet) for pallet in runtime.pallets]
    extended = writer.extensions()
    extrinsic = COMPACT.encode(writer.types.unchecked_extrinsic()) + bytes([VERSION]) + extended
    writer.outer_enums()
    own = COMPACT.encode(writer.runtime())
    body = COMPACT.encode(len(pallets)) + b"".join(pallets) + extrinsic + own
    return MAGIC + b"\x0e" + writer.types.registry.encode() + body
