"""The only way from the node to a runtime: which version a state wants, and what it answers.

A native runtime is found by the state's `:code` manifest (chain/runtimes.py). A node that lacks it stops with
a clear message instead of guessing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain.consensus.slots import Epoch
from chain.runtimes import Runtimes, installed
from chain.signatures import Signatures
from runtime.frame.errors import DispatchErrorKind
from runtime.frame.executive import Executed, Execution, Validation
from runtime.frame.state import State
from runtime.frame.storage import item_prefix
from runtime.native import NativeRuntime
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Digest, Header
from runtime.primitives.manifest import CODE_KEY
from runtime.primitives.membership import MEMBERSHIP_PROOF, MembershipProof, OpaqueValue
from runtime.primitives.scale import codec
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import BlockNumber, Hash
from runtime.primitives.version import RuntimeVersion

KEPT_METADATA = 16
"""Encoded answers with metadata kept; a chain has at most three per upgrade."""

NONE = b"\x00"
"""The SCALE form of None."""
_APPLIED, _FAILED, _REFUSED = b"\x00\x00", b"\x00\x01", b"\x01"
"""How an ApplyExtrinsicResult begins: Ok(Ok), Ok(Err) and Err."""
_DISPATCH_ERROR = codec(DispatchErrorKind)
_OPAQUE = codec(OpaqueValue | None)

_SCHEDULED_UPGRADE = item_prefix("System", "ScheduledUpgrade")
"""Looked up with every block, so before a runtime is bound."""

MIN_SLOT_MS = 100
"""No node builds, sends and imports a block in less."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A runtime that is scheduled: the first block it executes, its `:code`, and what is missing here."""

    at: BlockNumber
    code: bytes
    lacks: str | None


class Executor:
    """Runs blocks and answers questions on the state it is given; it holds none."""

    def __init__(self, signatures: Signatures | None = None, runtimes: Runtimes | None = None) -> None:
        self._runtimes = runtimes or installed()
        self._signatures = signatures or Signatures()
        self._metadata: dict[tuple[bytes, str, bytes], bytes] = {}

    def native(self, state: State) -> NativeRuntime:
        """Return the runtime that executes the children of the block whose state this is.

        Raises: RuntimeMissing.
        """
        return self._runtimes.find(state.get(CODE_KEY) or b"")

    def lacks(self, state: State) -> str | None:
        """Say what is missing to execute the children of a block, and what to do; None when nothing is."""
        return self._runtimes.lacks(state.get(CODE_KEY) or b"")

    def upgrade(self, state: State) -> Upgrade | None:
        """Return the runtime that a state has scheduled, if there is one.

        Raises: RuntimeMissing.
        """
        if state.get(_SCHEDULED_UPGRADE) is None:
            return None
        scheduled = self.native(state).reading(state).system.scheduled_upgrade.get()
        return Upgrade(scheduled.at, scheduled.code, self._runtimes.lacks(scheduled.code))

    def flaw(self, state: State) -> str | None:
        """Say why no chain can grow on a genesis state, None where one can.

        Raises: RuntimeMissing.
        """
        configuration = self._ask(state, "BabeApi_configuration")
        if self.slot_duration(state) < MIN_SLOT_MS:
            return f"Babe.ExpectedBlockTime is below {MIN_SLOT_MS} ms"
        if not int.from_bytes(configuration[8:16], "little"):
            return "Babe.EpochDuration is 0"
        if not self.epoch(state, 0, 0).authorities:
            return "it has no BABE authorities"
        if not self.grandpa_set(state)[0]:
            return "it has no GRANDPA authorities"
        return None

    def open(self, state: State, number: BlockNumber, parent: Hash, digest: Digest) -> Execution:
        """Start building block `number` on its parent's state."""
        return self.native(state).executive.open(state, number, parent, digest, self._signatures.verify)

    def expect(self, state: State, parent: Header, body: list[bytes]) -> None:
        """Have the signatures of a block that is about to be executed verified, where that saves time."""
        if self._signatures.has_workers:
            self._signatures.expect(self.validation(state, parent).claims(body))

    def execute(
        self, state: State, header: Header, body: list[bytes], supplied: Mapping[str, Any]
    ) -> Executed:
        """Execute a foreign block on its parent's state.

        Raises: BlockRejected.
        """
        executive, verify = self.native(state).executive, self._signatures.verify
        return executive.execute_block(state, header, body, supplied, verify)

    def validation(self, state: State, at: Header) -> Validation:
        """Return a checker of transactions for the children of a block; it may be used many times."""
        return self.native(state).executive.validation(state, at, self._signatures.verify)

    def call_api(self, state: State, at: Header, name: str, argument: bytes) -> bytes:
        """Answer a runtime API call in SCALE.

        Raises: ApiNotFound, ApiTrap, DecodeError.
        """
        if name == "Metadata_metadata_at_version":
            return self._described(state, name, argument)
        return self.native(state).answer(state, at, name, argument)

    def unsigned(self, state: State, pallet: str, name: str, *arguments: Any) -> bytes:
        """Return a transaction that nobody signs, made of a call by its names."""
        executive = self.native(state).executive
        return executive.format.bare(executive.runtime.call(pallet, name, *arguments))

    def key_ownership(self, state: State, pallet: str, place: int, key: bytes) -> MembershipProof | None:
        """Return whose a key of Babe in a slot, of Grandpa in a set is; None where the state cannot say."""
        name = f"{pallet}Api_generate_key_ownership_proof"
        found = self.native(state).answer(state, _NO_HEADER, name, place.to_bytes(8, "little") + key)
        opaque = _OPAQUE.decode(found)
        return None if opaque is None else MEMBERSHIP_PROOF.decode(opaque._0)

    def dry_run(self, state: State, at: Header, extrinsic: bytes) -> bytes:
        """Return what applying an extrinsic in a block after this one leads to: an ApplyExtrinsicResult."""
        execution = self.open(state, at.number + 1, at.hash(), Digest([]))
        try:
            error = execution.apply(extrinsic)
        except TransactionRejected as refused:
            return _REFUSED + refused.encode()
        if error is None:
            return _APPLIED
        return _FAILED + _DISPATCH_ERROR.encode(execution.runtime.error_kind(error))

    def metadata(self, state: State) -> bytes:
        """Return the metadata, magic number first."""
        encoded: bytes = codec(bytes).decode(self._described(state, "Metadata_metadata", b""))
        return encoded

    def _described(self, state: State, name: str, argument: bytes) -> bytes:
        """Answer with metadata, which is slow to make and the same for every state of a manifest.

        Raises: DecodeError.
        """
        wanted = (state.get(CODE_KEY) or b"", name, argument)
        known = self._metadata.get(wanted)
        if known is not None:
            return known
        found = self.native(state).answer(state, _NO_HEADER, name, argument)
        if found != NONE:  # there are 2**32 versions to ask for, and they must not push out the real ones
            kept = list(self._metadata.items())[1 - KEPT_METADATA :]
            self._metadata = {**dict(kept), wanted: found}  # a new one, since threads may be reading
        return found

    def version(self, state: State) -> RuntimeVersion:
        """Return the version of the state's runtime."""
        return codec(RuntimeVersion).decode(self._ask(state, "Core_version"))  # type: ignore[no-any-return]

    def grandpa_set(self, state: State) -> tuple[Authorities, int]:
        """Return the voters and the number of their set."""
        voters = codec(Authorities).decode(self._ask(state, "GrandpaApi_grandpa_authorities"))
        return voters, int.from_bytes(self._ask(state, "GrandpaApi_current_set_id"), "little")

    def slot_duration(self, state: State) -> int:
        """Return ms per slot."""
        return int.from_bytes(self._ask(state, "BabeApi_configuration")[:8], "little")

    def bonding_ms(self, state: State) -> int:
        """Return how long validators answer for what they signed after they have left, in ms."""
        runtime = self.native(state).reading(state)
        sessions = runtime.staking.bonding_duration * runtime.staking.sessions_per_era
        return int(sessions * runtime.babe.epoch_duration * runtime.babe.expected_block_time)

    def epoch(self, state: State, number: BlockNumber, slot: int) -> Epoch:
        """Return what decides the author of a slot, for a child of the block `number` this state belongs to.

        Block 1 is in the genesis slot and so in epoch 0, whatever its slot is.
        """
        runtime = self.native(state).reading(state)
        current, announced = runtime.babe.current_epoch(), runtime.babe.next_epoch()
        index = 0 if number == 0 else runtime.babe.epoch_at(slot)
        chosen = current if index <= current.epoch_index else announced
        return Epoch(index, chosen.authorities, chosen.randomness, chosen.config.c)

    def current_epoch(self, state: State) -> tuple[Epoch, int, int]:
        """Return the epoch of the state's block, its first slot and how many slots it has."""
        now = self.native(state).reading(state).babe.current_epoch()
        epoch = Epoch(now.epoch_index, now.authorities, now.randomness, now.config.c)
        return epoch, now.start_slot, now.duration

    def _ask(self, state: State, name: str) -> bytes:
        return self.native(state).answer(state, _NO_HEADER, name, b"")


_NO_HEADER = Header(Hash(bytes(32)), 0, Hash(bytes(32)), Hash(bytes(32)), Digest([]))
