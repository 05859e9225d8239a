"""The archive_v1 subscriptions: storage of any block, and what differs between the storage of two.

Source: paritytech/json-rpc-interface-spec, archive_v1_storage and archive_v1_storageDiff.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from chain.common.errors import StateDiscarded, UnknownBlock
from chain.rpc.backend import Backend, ProvableState
from chain.rpc.dispatch import encode, is_done
from chain.rpc.errors import Json, invalid_params
from chain.rpc.hub import Sink
from chain.rpc.params import Params, shorten
from chain.rpc.shapes import to_hex
from chain.rpc.turns import Turns
from chain.rpc.v1.storage_query import MAX_ITEMS, pages, read_items
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

SLICE = 256
"""keys compared in one turn"""

Event = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Region:
    """Part of the storage to compare; `child` names a child trie, of which this chain has none."""

    prefix: bytes
    hashed: bool
    child: bytes | None


def storage_events(node: Backend, params: Params, turns: Turns) -> AsyncIterator[Event]:
    """Return the events of archive_v1_storage.

    Raises: RpcError.
    """
    block, items = params.hash(0, "hash"), read_items(params, 1, 2)

    async def events() -> AsyncIterator[Event]:
        async for page in pages(node.state(block), items, turns):
            for answer in page.answers:
                yield {"event": "storage"} | answer
        yield {"event": "storageDone"}

    return events()


def difference_events(node: Backend, params: Params, turns: Turns) -> AsyncIterator[Event]:
    """Return the events of archive_v1_storageDiff.

    Raises: RpcError.
    """
    block, regions, previous = (
        params.hash(0, "hash"),
        _read_regions(params.get(1)),
        params.optional_hash(2, "previousHash"),
    )

    async def events() -> AsyncIterator[Event]:
        before = _previous_state(node, block, previous)
        after = node.state(block)
        for region in regions:
            async for event in _differences(before, after, region, turns):
                yield event
        yield {"event": "storageDiffDone"}

    return events()


async def forward(sink: Sink, events: AsyncIterator[Event], error: str) -> None:
    """Send events at the pace of the client; a failure becomes the last one, of the name `error`."""
    if not await is_done("An archive query", _forward(sink, events, error)):
        await sink.deliver(encode({"event": error, "error": "Internal error"}))


async def _forward(sink: Sink, events: AsyncIterator[Event], error: str) -> None:
    try:
        async for event in events:
            await sink.deliver(encode(event))
    except (UnknownBlock, StateDiscarded) as problem:
        await sink.deliver(encode({"event": error, "error": str(problem)}))


def _read_regions(raw: Json) -> Sequence[Region]:
    if raw is None:
        return [Region(b"", hashed=False, child=None)]
    if not isinstance(raw, list) or len(raw) > MAX_ITEMS:
        raise invalid_params(f"items must be an array of at most {MAX_ITEMS} objects; it is {shorten(raw)}")
    return [_read_region(each) for each in raw]


def _read_region(raw: Json) -> Region:
    if not isinstance(raw, dict) or raw.get("returnType") not in ("value", "hash"):
        raise invalid_params(f"an item needs the returnType value or hash; it is {shorten(raw)}")
    fields = Params([raw.get("key"), raw.get("childTrieKey")])
    prefix, child = fields.optional_hex(0, "key") or b"", fields.optional_hex(1, "childTrieKey")
    return Region(prefix, raw["returnType"] == "hash", child)


def _previous_state(node: Backend, block: Hash, previous: Hash | None) -> ProvableState | None:
    """Return the state to compare with, of the parent by default; None before genesis."""
    if previous is not None:
        return node.state(previous)
    header = node.header(block)
    return node.state(header.parent_hash) if header.number else None


async def _differences(
    before: ProvableState | None, after: ProvableState, region: Region, turns: Turns
) -> AsyncIterator[Event]:
    if region.child is not None:
        return
    for count, key in enumerate(_keys(before, after, region.prefix), start=1):
        old, new = before.get(key) if before else None, after.get(key)
        if old != new:
            yield _difference(key, old, new, region)
        if count % SLICE == 0:
            await turns.take()


def _keys(before: ProvableState | None, after: ProvableState, prefix: bytes) -> Iterator[bytes]:
    """Yield the keys of either state, each once."""
    previous = None
    for key in merge(before.keys(prefix) if before else iter(()), after.keys(prefix)):
        if key != previous:
            yield key
        previous = key


def _difference(key: bytes, old: bytes | None, new: bytes | None, region: Region) -> Event:
    """Return one event; what was deleted is told with its old value."""
    kind = "added" if old is None else "deleted" if new is None else "modified"
    value = (old if new is None else new) or b""
    told = {"hash": to_hex(blake2_256(value))} if region.hashed else {"value": to_hex(value)}
    return {"event": "storageDiff", "key": to_hex(key), "type": kind, **told}
