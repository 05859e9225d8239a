"""Storage items as the v1 groups ask for them, and their answers in pages that a client can swallow.

Source: paritytech/json-rpc-interface-spec, chainHead_v1_storage and archive_v1_storage.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from chain.rpc.backend import ProvableState
from chain.rpc.errors import Json, invalid_params
from chain.rpc.params import Params, shorten
from chain.rpc.shapes import to_hex
from chain.rpc.turns import Turns, about_a_trie
from runtime.primitives.hashing import blake2_256

Kind = Literal["value", "hash", "closestDescendantMerkleValue", "descendantsValues", "descendantsHashes"]

MAX_ITEMS = 1024
"""items in one request"""
PAGE_ITEMS = 256
PAGE_BYTES = 256 * 1024
"""A page ends with the answer that makes it longer than this."""


@dataclass(frozen=True, slots=True)
class StorageItem:
    """One question; `after` leaves out the descendants up to that key."""

    key: bytes
    kind: Kind
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """Answers that go out together."""

    answers: list[dict[str, Json]]
    is_last: bool


def read_items(params: Params, index: int, child_index: int) -> list[StorageItem]:
    """Return the items of a request; none when they are about a child trie, as this chain has no such tries.

    Raises: RpcError.
    """
    raw = params.get(index)
    if not isinstance(raw, list) or len(raw) > MAX_ITEMS:
        raise invalid_params(f"items must be an array of at most {MAX_ITEMS} objects; it is {shorten(raw)}")
    items = [_read_item(each) for each in raw]
    return items if params.optional_hex(child_index, "childTrie") is None else []


async def pages(state: ProvableState, items: Sequence[StorageItem], turns: Turns) -> AsyncIterator[Page]:
    """Yield the answers to some items in order, each page in its turn."""
    await turns.take()
    page: list[dict[str, Json]] = []
    size = 0
    async for answer, weight in _answers(state, items):
        if len(page) == PAGE_ITEMS or size > PAGE_BYTES:
            yield Page(page, is_last=False)
            await turns.take()
            page, size = [], 0
        page.append(answer)
        size += weight
    if page:
        yield Page(page, is_last=True)


def _read_item(raw: Json) -> StorageItem:
    if not isinstance(raw, dict):
        raise invalid_params(f"an item must be an object with key and type; it is {shorten(raw)}")
    fields = Params([raw.get("key"), raw.get("paginationStartKey")])
    kind = raw.get("type")
    for known in get_args(Kind):
        if kind == known:
            after = fields.optional_hex(1, "paginationStartKey") or b""
            return StorageItem(fields.hex(0, "key"), known, after)
    raise invalid_params(f"the type of an item is one of {', '.join(get_args(Kind))}; it is {shorten(kind)}")


async def _answers(
    state: ProvableState, items: Sequence[StorageItem]
) -> AsyncIterator[tuple[dict[str, Json], int]]:
    """Yield each answer and about how many bytes it has."""
    for item in items:
        if item.kind == "closestDescendantMerkleValue":
            merkle = await about_a_trie(partial(state.closest_merkle_value, item.key))
            if merkle is not None:
                yield {"key": to_hex(item.key), "closestDescendantMerkleValue": to_hex(merkle)}, 128
            continue
        for key in _keys(state, item):
            value = state.get(key)
            if value is None:
                continue
            if item.kind in ("hash", "descendantsHashes"):
                yield {"key": to_hex(key), "hash": to_hex(blake2_256(value))}, 128
            else:
                yield {"key": to_hex(key), "value": to_hex(value)}, 2 * (len(key) + len(value)) + 32


def _keys(state: ProvableState, item: StorageItem) -> Iterator[bytes]:
    if item.kind in ("descendantsValues", "descendantsHashes"):
        return state.keys(item.key, item.after)
    return iter((item.key,))
