"""The childstate_ namespace: this chain has no child tries, so every answer is that there is nothing."""

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json, client_error
from chain.rpc.params import Params

DEFAULT_PREFIX = b":child_storage:default:"
"""what the name of a child trie begins with"""


def _check(node: Backend, params: Params, block_index: int) -> None:
    """Refuse what no chain could answer.

    Raises: RpcError, UnknownBlock, StateDiscarded.
    """
    if not params.hex(0, "childStorageKey").startswith(DEFAULT_PREFIX):
        raise client_error("Invalid child storage key")
    node.state(params.optional_hash(block_index, "at"))


async def keys(node: Backend, params: Params) -> Json:
    """Return the keys with a prefix."""
    params.optional_hex(1, "prefix")
    _check(node, params, 2)
    return []


async def keys_paged(node: Backend, params: Params) -> Json:
    """Return the keys with a prefix that follow on a start key."""
    params.optional_hex(1, "prefix")
    params.count(2, "count")
    _check(node, params, 4)
    return []


async def value(node: Backend, params: Params) -> Json:
    """Return the value under a key, its hash, or its size."""
    params.hex(1, "key")
    _check(node, params, 2)
    return None


async def entries(node: Backend, params: Params) -> Json:
    """Return the values under several keys."""
    wanted = params.keys(1, "keys")
    _check(node, params, 2)
    return [None] * len(wanted)


METHODS: dict[str, Handler] = {
    "childstate_getKeys": keys,
    "childstate_getKeysPaged": keys_paged,
    "childstate_getKeysPagedAt": keys_paged,
    "childstate_getStorage": value,
    "childstate_getStorageHash": value,
    "childstate_getStorageSize": value,
    "childstate_getStorageEntries": entries,
}
