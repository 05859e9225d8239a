"""The node's name among peers: an ed25519 key of its own, and the peer id made of it.

    peer id = base58(0x00 0x24 | 0x08 0x01 0x12 0x20 | public key)     an identity multihash of a protobuf

Source: libp2p peer-ids specification; paritytech/polkadot-sdk substrate/client/network/src/config.rs.
"""

from pathlib import Path

from chain.env import Disk, Rng
from chain.keys.pair import Keypair
from runtime.primitives.ss58 import from_base58, to_base58

NODE_KEY_FILE = "secret_ed25519"
"""in `chains/<id>/network`; 32 raw bytes, 64 hexadecimal digits are read too"""
_PREFIX = bytes.fromhex("002408011220")
_SEED_SIZE = 32
MAX_PEER_ID = 64
"""characters; 52 are used"""
MAX_FILE = 128
"""bytes of a node key file that are read; more than a key has"""


class NodeKeyError(ValueError):
    """The bytes are no node key; says what is, without repeating the secret."""


def load_node_key(disk: Disk, rng: Rng) -> Keypair:
    """Return the key of this node, made at its first start.

    Raises: NodeKeyError.
    """
    content = disk.read(NODE_KEY_FILE)
    if content is None:
        content = rng.token(_SEED_SIZE)
        disk.replace(NODE_KEY_FILE, content)
    return parse_node_key(content, NODE_KEY_FILE)


def parse_node_key(content: bytes, origin: str) -> Keypair:
    """Return the key in a file or flag: 32 raw bytes or 64 hexadecimal digits.

    Raises: NodeKeyError.
    """
    if len(content) == _SEED_SIZE:
        return Keypair.from_seed(content, "ed25519")
    try:
        seed = bytes.fromhex(content.decode("ascii").strip().removeprefix("0x"))
    except ValueError as problem:
        raise _malformed(origin) from problem
    if len(seed) != _SEED_SIZE:
        raise _malformed(origin)
    return Keypair.from_seed(seed, "ed25519")


def read_node_key(path: Path) -> Keypair:
    """Return the key in a file.

    Raises: NodeKeyError.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE)
    except OSError as problem:
        raise NodeKeyError(f"cannot read the node key: {problem}") from problem
    return parse_node_key(content, str(path))


def peer_id(public: bytes) -> str:
    """Return what peers call the holder of a key; it starts with 12D3KooW."""
    return to_base58(_PREFIX + public)


def public_of(peer: str) -> bytes | None:
    """Return the key in a peer id, None where there is none."""
    if len(peer) > MAX_PEER_ID:
        return None
    try:
        decoded = from_base58(peer)
    except ValueError:
        return None
    is_ours = decoded.startswith(_PREFIX) and len(decoded) == len(_PREFIX) + _SEED_SIZE
    return decoded[len(_PREFIX) :] if is_ours else None


def _malformed(origin: str) -> NodeKeyError:
    return NodeKeyError(
        f"{origin} holds no node key: it must be 32 bytes or 64 hexadecimal digits; "
        "`assay key generate-node-key` makes one"
    )
