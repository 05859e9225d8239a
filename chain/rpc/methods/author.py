"""The author_ namespace: transactions on their way into a block, and the keys that author it."""

from typing import Annotated

from chain.keys.keystore import KeystoreError
from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import AUTHOR_ERROR, Json, RpcError, invalid_params
from chain.rpc.params import MAX_KEYS, Params
from chain.rpc.shapes import to_hex
from runtime.primitives.accounts import ACCOUNT_SIZE
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.session import KeyTypeId
from runtime.primitives.shapes import Bounded
from runtime.primitives.types import AccountId, Hash

MAX_SESSION_KEYS = 1024
"""bytes of one set of session keys; ours have 64"""

_DECODED = codec(Annotated[list[tuple[bytes, KeyTypeId]], Bounded(MAX_SESSION_KEYS)] | None)
_ENCODED = codec(bytes)


async def submit_extrinsic(node: Backend, params: Params) -> Json:
    """Hand a transaction to the pool and return its hash."""
    return to_hex(node.pool.submit(params.extrinsic(0)))


async def pending_extrinsics(node: Backend, params: Params) -> Json:
    """Return the transactions that could enter the next block."""
    return [to_hex(extrinsic) for extrinsic in node.pool.ready()]


async def remove_extrinsic(node: Backend, params: Params) -> Json:
    """Drop transactions, each named by `{"hash"}` or `{"extrinsic"}`; return the hashes of those found."""
    wanted = params.get(0)
    if not isinstance(wanted, list) or len(wanted) > MAX_KEYS:
        raise invalid_params(f"parameter 1 (bytes_or_hash) must be an array of at most {MAX_KEYS}")
    return [to_hex(each) for each in node.pool.remove([_named(each) for each in wanted])]


async def insert_key(node: Backend, params: Params) -> Json:
    """Store a session key and sign with it from now on."""
    key_type, suri = _key_type(params, 0), params.text(1, "suri")
    public = params.hex(2, "publicKey")
    try:
        node.operator.insert_key(key_type, suri, public)
    except (KeystoreError, OSError) as problem:
        raise _unavailable(problem) from problem
    return None


async def rotate_keys(node: Backend, params: Params) -> Json:
    """Make new session keys and return the public ones, in the order of the runtime."""
    try:
        return to_hex(node.operator.rotate_keys())
    except (KeystoreError, OSError) as problem:
        raise _unavailable(problem) from problem


async def rotate_keys_with_owner(node: Backend, params: Params) -> Json:
    """Make new session keys, and the proof with which their owner sets them and nobody else."""
    owner = params.hex(0, "owner")
    if len(owner) != ACCOUNT_SIZE:
        raise invalid_params(f"parameter 1 (owner) must be an account of {ACCOUNT_SIZE} bytes")
    try:
        made = node.operator.rotate_keys()
        return {"keys": to_hex(made), "proof": to_hex(node.operator.prove_keys(made, AccountId(owner)))}
    except (KeystoreError, OSError) as problem:
        raise _unavailable(problem) from problem


async def has_session_keys(node: Backend, params: Params) -> Json:
    """Say whether the keystore has every key of a set."""
    argument = _ENCODED.encode(params.hex(0, "sessionKeys"))
    decoded = _DECODED.decode(node.call(None, "SessionKeys_decode_session_keys", argument))
    if decoded is None:
        raise RpcError(AUTHOR_ERROR, "Session keys are not encoded correctly")
    return all(node.operator.has_key(key_type, public) for public, key_type in decoded)


async def has_key(node: Backend, params: Params) -> Json:
    """Say whether the keystore has a key."""
    public = params.hex(0, "publicKey")
    return node.operator.has_key(_key_type(params, 1), public)


def _key_type(params: Params, index: int) -> bytes:
    key_type = params.text(index, "keyType").encode()
    if len(key_type) != 4:
        raise RpcError(AUTHOR_ERROR, "Invalid key type ID format (should be of length four)")
    return key_type


def _unavailable(problem: Exception) -> RpcError:
    return RpcError(AUTHOR_ERROR, "The key store is unavailable", str(problem))


def _named(value: Json) -> Hash:
    if isinstance(value, dict) and len(value) == 1:
        kind, text = next(iter(value.items()))
        found = Params([text])
        if kind == "hash":
            return found.hash(0, "hash")
        if kind == "extrinsic":
            return Hash(blake2_256(found.hex(0, "extrinsic")))
    raise invalid_params('a transaction is named by {"hash": "0x..."} or {"extrinsic": "0x..."}')


METHODS: dict[str, Handler] = {
    "author_submitExtrinsic": submit_extrinsic,
    "author_pendingExtrinsics": pending_extrinsics,
    "author_removeExtrinsic": remove_extrinsic,
    "author_insertKey": insert_key,
    "author_rotateKeys": rotate_keys,
    "author_rotateKeysWithOwner": rotate_keys_with_owner,
    "author_hasSessionKeys": has_session_keys,
    "author_hasKey": has_key,
}
