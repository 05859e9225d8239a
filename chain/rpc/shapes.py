"""How chain values look in JSON. Source: Substrate's serde forms, as the installed clients read them."""

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

from chain.rpc.backend import RuntimeVersion
from chain.rpc.errors import Json
from runtime.primitives import ss58
from runtime.primitives.header import GRANDPA_ENGINE, DigestItem, Header
from runtime.primitives.scale import codec
from runtime.primitives.shapes import (
    Array,
    Boolean,
    Composite,
    Integer,
    Option,
    Sequence,
    SignedInteger,
    TaggedUnion,
    Text,
    U16Pairs,
    shape_of,
)

SAFE_BYTES = 4
"""JavaScript's numbers hold integers of so many bytes; longer ones are strings."""
ACCOUNT_PATH = "sp_core::crypto::AccountId32"

_LOG = codec(DigestItem)


def to_hex(raw: bytes) -> str:
    """Return bytes as `0x` hex."""
    return "0x" + raw.hex()


def optional_hex(raw: bytes | None) -> str | None:
    """Return bytes as `0x` hex, None as None."""
    return None if raw is None else to_hex(raw)


def header_json(header: Header) -> dict[str, Json]:
    """Return a header; its number is hex without leading zeros."""
    return {
        "parentHash": to_hex(header.parent_hash),
        "number": hex(header.number),
        "stateRoot": to_hex(header.state_root),
        "extrinsicsRoot": to_hex(header.extrinsics_root),
        "digest": {"logs": [to_hex(_LOG.encode(log)) for log in header.digest.logs]},
    }


def block_json(header: Header, body: list[bytes], justification: bytes | None) -> dict[str, Json]:
    """Return a signed block; justifications are pairs of engine and bytes, both as arrays of numbers."""
    justifications = None if justification is None else [[list(GRANDPA_ENGINE), list(justification)]]
    extrinsics = [to_hex(extrinsic) for extrinsic in body]
    return {
        "block": {"header": header_json(header), "extrinsics": extrinsics},
        "justifications": justifications,
    }


def version_json(version: RuntimeVersion) -> dict[str, Json]:
    """Return a runtime version; the state version is 1 from system version 1 on."""
    return {
        "specName": version.spec_name,
        "implName": version.impl_name,
        "authoringVersion": version.authoring_version,
        "specVersion": version.spec_version,
        "implVersion": version.impl_version,
        "apis": [[to_hex(name), number] for name, number in version.apis],
        "transactionVersion": version.transaction_version,
        "systemVersion": version.system_version,
        "stateVersion": min(version.system_version, 1),
    }


def specification_json(version: RuntimeVersion) -> dict[str, Json]:
    """Return a runtime as the v1 groups describe it; `apis` is an object there."""
    return {
        "type": "valid",
        "spec": {
            "specName": version.spec_name,
            "implName": version.impl_name,
            "specVersion": version.spec_version,
            "implVersion": version.impl_version,
            "transactionVersion": version.transaction_version,
            "apis": {to_hex(name): number for name, number in version.apis},
        },
    }


def changes_json(block: bytes, changes: list[tuple[bytes, bytes | None]]) -> dict[str, Json]:
    """Return a set of storage values at a block."""
    return {"block": to_hex(block), "changes": [[to_hex(key), optional_hex(value)] for key, value in changes]}


def plain_json(annotation: Any) -> Callable[[Any], Json]:
    """Return what makes JSON that needs no metadata to be read of a value of this type.

    Structs become objects with camelCase names, accounts addresses, other bytes hex, long integers decimal
    strings, and enums without contents their names.
    """
    match shape_of(annotation):
        case Option(some):
            plain = plain_json(some)
            return lambda value: None if value is None else plain(value)
        case Composite(_, _, fields):
            parts = [
                (_camel(each.name), attrgetter(each.attribute), plain_json(each.annotation))
                for each in fields
            ]
            return lambda value: {name: plain(read(value)) for name, read, plain in parts}
        case Sequence(element):
            return partial(_list, plain_json(element))
        case U16Pairs():
            return partial(_list, list)
        case Integer(size) | SignedInteger(size):
            return str if size > SAFE_BYTES else int
        case Array(_, path):
            return _address if path == ACCOUNT_PATH else to_hex
        case TaggedUnion():
            return attrgetter("name")
        case Boolean():
            return bool
        case Text():
            return str
        case shape:
            raise AssertionError(f"{shape} has no plain form")


def _list(plain: Callable[[Any], Json], values: Iterable[Any]) -> Json:
    return list(map(plain, values))


@lru_cache(maxsize=8_192)
def _address(account: bytes) -> str:
    return ss58.encode(account)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(each.capitalize() for each in rest)
