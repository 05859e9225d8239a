"""Callers for tests: real keys, and a list of who is registered and has revealed what."""

from dataclasses import dataclass, field
from functools import cache

from chain.keys.pair import Keypair
from miners.blobs import receipts
from miners.blobs.receipts import Owed, Witness
from miners.blobs.server import Expected, Guard
from miners.blobs.signing import BadRequest, Doorman
from miners.blobs.store import BlobStore
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import RECEIPT

GENESIS = bytes(range(32))
NETUID, ROUND = 1, 1


@cache
def pair(name: str) -> Keypair:
    """Derive a key once."""
    return Keypair.from_suri(name, "sr25519")


@dataclass(frozen=True)
class Hotkey:
    """Signs as one development account."""

    name: str
    genesis_hash: bytes = GENESIS

    @property
    def hotkey(self) -> bytes:
        return pair(self.name).public

    def sign(self, message: bytes) -> bytes:
        return pair(self.name).sign(message)


ALICE, BOB = Hotkey("//Alice"), Hotkey("//Bob")
MINER, OTHER, EVE = Hotkey("//Miner1"), Hotkey("//Miner2"), Hotkey("//Eve")


@dataclass
class Register:
    """What a roster knows; tests write it down themselves."""

    store: BlobStore | None = None
    stakes: dict[bytes, int] = field(
        default_factory=lambda: {ALICE.hotkey: 1, MINER.hotkey: 0, OTHER.hotkey: 0}
    )
    revealed: dict[tuple[bytes, bytes], int] = field(default_factory=dict)

    async def stake(self, hotkey: bytes) -> int | None:
        return self.stakes.get(hotkey)

    async def expects(self, hotkey: bytes, digest: bytes) -> Expected:
        if self.store is None or (hotkey, digest) not in self.revealed:
            raise BadRequest(404, "not revealed")
        return Expected(self.revealed[hotkey, digest], self.store, owed(hotkey))


def owed(hotkey: bytes, number: int = ROUND) -> Owed:
    """Say whose receipt is due."""
    return Owed(GENESIS, NETUID, number, hotkey)


def receipt(signer: Hotkey, blob: bytes, *, digest: bytes | None = None, number: int = ROUND) -> str:
    """Return what a miner signs about bytes that it hands out under a digest, as the header has it."""
    asked = blake2_256(blob) if digest is None else digest
    return RECEIPT.encode(receipts.sign(signer, NETUID, number, asked, blob)).hex()


def guard(register: Register, receiver: Hotkey = ALICE, witness: Witness = receipts.ignore) -> Guard:
    """A guard with a real clock."""
    return Guard(Doorman(GENESIS, receiver.hotkey), register, witness)
