"""A chain of the real runtime in memory: blocks with real slots and VRF outputs, extrinsics really signed.

chain = Chain()
chain.build(chain.sign(ALICE, transfer(BOB, 5)))
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from nacl.signing import SigningKey

from chain.keys.pair import KeyKind, Keypair
from runtime.apis import NATIVE
from runtime.frame.base import Call, EventRecord
from runtime.frame.errors import DispatchError
from runtime.frame.executive import Executed, Execution, genesis_header
from runtime.frame.testing import MemoryState
from runtime.genesis import genesis_state
from runtime.native import NativeRuntime
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives import vrf
from runtime.primitives.babe import SecondaryVRF, VrfSignature, pre_digest_item, vrf_input
from runtime.primitives.crypto import Ecdsa, Ed25519, Sr25519
from runtime.primitives.era import IMMORTAL, MortalEra
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, DigestItem, Header
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime

ASY = 10**12
"""planck"""
FUNDS = 10_000 * ASY
"""planck each account has at genesis"""
SLOT_MS = 2_000
FIRST_SLOT = 1_000
AUTHOR_SEED = bytes.fromhex("abf8e5bdbe30c65656c0a3cbd181ff8a56294a69dfedd27982aace4a76909115")
"""//Alice, the only authority of the presets"""


@dataclass(frozen=True)
class Key:
    """An account and what signs for it."""

    name: str

    @property
    def _signing(self) -> SigningKey:
        return SigningKey(blake2_256(self.name.encode()))

    @property
    def account(self) -> AccountId:
        """Return the account."""
        return AccountId(bytes(self._signing.verify_key))

    def sign(self, message: bytes) -> bytes:
        """Return the same signature every time."""
        return bytes(self._signing.sign(message).signature)

    def proof(self, message: bytes) -> Ed25519 | Sr25519 | Ecdsa:
        """Return a signature as extrinsics carry it."""
        return Ed25519(self.sign(message))


@dataclass(frozen=True)
class PairKey(Key):
    """An account whose name is a secret URI of a scheme."""

    kind: KeyKind

    @property
    def account(self) -> AccountId:
        """Return the account."""
        return AccountId(Keypair.from_suri(self.name, self.kind).account)

    def proof(self, message: bytes) -> Ed25519 | Sr25519 | Ecdsa:
        """Return a signature as extrinsics carry it."""
        signed = Keypair.from_suri(self.name, self.kind).sign(message)
        return {"ed25519": Ed25519, "sr25519": Sr25519, "ecdsa": Ecdsa}[self.kind](signed)


ALICE, BOB, CAROL, DAVE, NOBODY = (Key(name) for name in ("Alice", "Bob", "Carol", "Dave", "Nobody"))
RICH = (ALICE, BOB, CAROL, DAVE)


def preset(name: str = "local") -> dict[str, Any]:
    """Return a preset's genesis sections."""
    spec = json.loads(files("genesis").joinpath(f"{name}.json").read_text())
    return dict(spec["genesis"]["runtimeGenesis"]["config"])


def configuration() -> dict[str, Any]:
    """Return the local preset with our accounts in it; Alice is sudo."""
    config = preset()
    listed = [*config["balances"]["balances"], *(["0x" + key.account.hex(), FUNDS] for key in RICH)]
    return config | {"balances": {"balances": listed}, "sudo": {"key": "0x" + ALICE.account.hex()}}


def call(pallet: str, name: str, *arguments: Any) -> Call:
    """Build a call by its names."""
    return AssayRuntime.call(pallet, name, *arguments)


def transfer(dest: Key, value: int) -> Call:
    """Build the transfer that keeps its sender alive."""
    return call("Balances", "transfer_keep_alive", dest.account, value)


@dataclass(frozen=True)
class Block:
    """What was built, and how each extrinsic went."""

    header: Header
    body: list[bytes]
    errors: list[DispatchError | None]
    events: list[EventRecord]


@dataclass
class Chain:
    """The state at the head; `build` adds a block."""

    config: Mapping[str, Any] = field(default_factory=configuration)
    native: NativeRuntime = NATIVE  # what executes the next block

    def __post_init__(self) -> None:
        self.state = MemoryState(genesis_state(self.config, "test"))
        self.head = genesis_header(self.state.root({}))
        self.genesis = self.head.hash()
        self.hashes = [self.genesis]
        self.slot = FIRST_SLOT - 1

    @property
    def runtime(self) -> AssayRuntime:
        """Return the runtime bound to the head's state."""
        return self.native.reading(self.state)

    def claim(self, slot: int, randomness: bytes | None = None, epoch: int | None = None) -> DigestItem:
        """Return the author's pre-digest for a slot."""
        babe = self.runtime.babe
        index = (0 if not self.head.number else babe.epoch_at(slot)) if epoch is None else epoch
        known = babe.current_epoch() if index <= babe.epoch_index.get() else babe.next_epoch()
        proof = vrf.prove(AUTHOR_SEED, vrf_input(randomness or known.randomness, slot, index))
        return pre_digest_item(SecondaryVRF(0, slot, VrfSignature.from_proof(proof)))

    def open(self, slot: int | None = None) -> Execution:
        """Start the next block; nothing is kept before `adopt`."""
        chosen = self.slot + 1 if slot is None else slot
        return self.native.executive.open(
            self.state, self.head.number + 1, self.head.hash(), Digest([self.claim(chosen)])
        )

    def draft(self, *extrinsics: bytes, slot: int | None = None) -> tuple[Executed, list[bytes], list[Any]]:
        """Build the next block without adding it."""
        chosen = self.slot + 1 if slot is None else slot
        execution = self.open(chosen)
        body = [*execution.inherents({"timestamp": chosen * SLOT_MS}), *extrinsics]
        errors = [execution.apply(each) for each in body]
        return execution.finish(), body, errors

    def build(self, *extrinsics: bytes, slot: int | None = None) -> Block:
        """Build the next block and add it."""
        executed, body, errors = self.draft(*extrinsics, slot=slot)
        self.adopt(executed)
        return Block(executed.header, body, errors, self.runtime.system.events.get())

    def adopt(self, executed: Executed) -> None:
        """Make an executed block the head."""
        self.state.apply(executed.changes)
        self.head = executed.header
        self.hashes.append(self.head.hash())
        self.slot = self.runtime.babe.current_slot.get()

    def execute(self, header: Header, body: list[bytes], now_ms: int | None = None) -> Executed:
        """Execute a block as a foreign one, on the head's state."""
        clock = (self.slot + 1) * SLOT_MS if now_ms is None else now_ms
        return self.native.executive.execute_block(self.state, header, body, {"timestamp": clock})

    def nonce(self, key: Key) -> int:
        """Return an account's next nonce."""
        return self.runtime.system.next_nonce(key.account)

    def free(self, key: Key) -> int:
        """Return an account's free balance."""
        return self.runtime.balances.free(key.account)

    def sign(
        self,
        key: Key,
        what: Call,
        *,
        nonce: int | None = None,
        tip: int = 0,
        era: MortalEra = IMMORTAL,
        born: Hash | None = None,
        spec_version: int = VERSION.spec_version,
        transaction_version: int = VERSION.transaction_version,
        genesis: Hash | None = None,
        mode: MetadataHashMode = MetadataHashMode.Disabled,
    ) -> bytes:
        """Return a signed extrinsic for the next block."""
        chosen = self.nonce(key) if nonce is None else nonce
        extra = ((), (), (), (), era, chosen, (), tip, mode, ())
        birth = self.hashes[era.birth(self.head.number)] if born is None else born
        bound = self.genesis if genesis is None else genesis
        implied = ((), spec_version, transaction_version, bound, birth, (), (), (), None, ())
        form = self.native.executive.format
        message = form.payload(what, extra, implied)
        return form.signed(what, key.account, key.proof(message), extra)

    def fee(self, encoded: bytes) -> int:
        """Return what an extrinsic costs, tip included."""
        decoded = EXECUTIVE.format.decode(encoded)
        tip = decoded.signature.extra[7] if decoded.signature else 0
        runtime = self.runtime
        return runtime.transaction_payment.details(runtime.info(decoded.call), len(encoded), tip).total()
