"""Metadata V15: V14, and the runtime APIs. Source: frame-metadata, v15::RuntimeMetadataV15."""

from runtime.frame.api import ApiSpec, FunctionSpec
from runtime.frame.base import Runtime
from runtime.frame.extension import Extension
from runtime.frame.extrinsic import VERSION
from runtime.frame.metadata.annotations import Types
from runtime.frame.metadata.pallets import MAGIC, Writer
from runtime.frame.metadata.registry import COMPACT, TEXT, TEXTS, lines
from runtime.frame.pallet import spec_of
from runtime.primitives.crypto import MultiSignature
from runtime.primitives.types import MultiAddress


def metadata(runtime: Runtime, extensions: tuple[Extension, ...], apis: tuple[ApiSpec, ...]) -> bytes:
    """Return the metadata of a runtime as bound to some state (its constants may differ by chain).

    "meta" | 15 | registry | pallets | extrinsic | runtime type | APIs | outer enums | custom values: none
    """
    writer = Writer(runtime, extensions)
    pallets = [
        writer.pallet(pallet) + TEXTS.encode(lines(spec_of(type(pallet)).docs)) for pallet in runtime.pallets
    ]
    extrinsic = _extrinsic(writer)
    own = COMPACT.encode(writer.runtime())
    listed = [_api(writer.types, api) for api in apis]
    outer = b"".join(COMPACT.encode(each) for each in writer.outer_enums())
    body = COMPACT.encode(len(pallets)) + b"".join(pallets) + extrinsic + own
    body += COMPACT.encode(len(listed)) + b"".join(listed) + outer + COMPACT.encode(0)
    return MAGIC + b"\x0f" + writer.types.registry.encode() + body


def _extrinsic(writer: Writer) -> bytes:
    """Write version, types of address, call, signature and all extensions' values, and the extensions."""
    types = writer.types
    parts = (types.of(MultiAddress), types.call, types.of(MultiSignature), types.extra())
    return bytes([VERSION]) + b"".join(COMPACT.encode(each) for each in parts) + writer.extensions()


def _api(types: Types, api: ApiSpec) -> bytes:
    functions = [_function(types, each) for each in api.functions]
    head = TEXT.encode(api.name) + COMPACT.encode(len(functions))
    return head + b"".join(functions) + TEXTS.encode(lines(api.docs))


def _function(types: Types, function: FunctionSpec) -> bytes:
    inputs = [TEXT.encode(name) + COMPACT.encode(types.of(each)) for name, each in function.inputs]
    return (
        TEXT.encode(function.name)
        + COMPACT.encode(len(inputs))
        + b"".join(inputs)
        + COMPACT.encode(types.of(function.output))
        + TEXTS.encode(lines(function.docs))
    )
