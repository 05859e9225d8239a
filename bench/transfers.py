"""Chains and signed transfers for the benchmarks: many funded accounts, and blocks that may hold thousands.

The development chain's block weights let a block hold a thousand transfers, for the sake of slow machines;
the chains made here lift weight and length, and nothing else, so that the program is the limit.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from chain.commands.seats import Seat, take
from chain.consensus.slots import Epoch, claim
from chain.consensus.slots import seal as seal_of
from chain.keys.pair import Keypair
from runtime.frame.executive import genesis_header
from runtime.frame.state import Changes, Overlay, State
from runtime.frame.testing import MemoryState
from runtime.genesis import genesis_state
from runtime.pallets.checks import MetadataHashMode
from runtime.pallets.system import (
    DEFAULT_WEIGHTS,
    BlockLength,
    BlockWeights,
    ClassLimits,
    LengthPerClass,
    LimitsPerClass,
)
from runtime.primitives import crypto
from runtime.primitives.crypto import Sr25519, Verify
from runtime.primitives.era import IMMORTAL
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header, PreRuntime
from runtime.primitives.types import AccountData, AccountId, AccountInfo, Hash, Weight
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime

ONE_ASY = 10**12
"""planck"""
RICHES = 1_000 * ONE_ASY
ROOMY = Weight(10**15, 1 << 40)
"""ps and bytes of proof; no block gets there"""
ROOMY_LENGTH = 64 << 20
"""bytes"""
ALICE = Keypair.from_suri("//Alice", "ed25519")


def config(slot_ms: int | None = None) -> dict[str, Any]:
    """Return the development chain's genesis with roomy blocks."""
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    made: dict[str, Any] = spec["genesis"]["runtimeGenesis"]["config"]
    limits = ClassLimits(DEFAULT_WEIGHTS.per_class.normal.base_extrinsic, ROOMY, ROOMY, Weight())
    weights = BlockWeights(
        DEFAULT_WEIGHTS.base_block,
        ROOMY,
        LimitsPerClass(limits, limits, DEFAULT_WEIGHTS.per_class.mandatory),
    )
    length = BlockLength(LengthPerClass(ROOMY_LENGTH, ROOMY_LENGTH, ROOMY_LENGTH))
    made["constants"]["System"] = {"BlockWeights": weights, "BlockLength": length}
    if slot_ms is not None:
        made["constants"]["Babe"]["ExpectedBlockTime"] = slot_ms
        made["constants"]["Timestamp"]["MinimumPeriod"] = slot_ms // 2
    return made


def account(number: int) -> AccountId:
    """Return an account that nobody has the key of."""
    return AccountId(blake2_256(b"account %d" % number))


def sender(number: int) -> Keypair:
    """Return the key of a sender."""
    return Keypair.from_seed(blake2_256(b"sender %d" % number), "sr25519")


def genesis(
    senders: list[Keypair],
    others: int = 0,
    slot_ms: int | None = None,
    validators: Sequence[str] = (),
) -> dict[bytes, bytes]:
    """Return the raw state of block 0 with every sender rich, and so many more accounts.

    Blocks are //Alice's, or those of the development validators named.
    """
    chosen = config(slot_ms)
    if validators:
        take(chosen, [Seat.of(name) for name in validators])
    state = genesis_state(chosen, "bench")
    overlay = Overlay(MemoryState(state))
    runtime = AssayRuntime(overlay)
    for each in senders:
        runtime.system.account[AccountId(each.public)] = _rich()
    for number in range(others):
        runtime.system.account[account(number)] = _rich()
    issued = runtime.balances.total_issuance
    issued.put(issued.get() + RICHES * (len(senders) + others))
    return state | {key: value for key, value in overlay.changes.items() if value is not None}


def _rich() -> AccountInfo:
    return AccountInfo(providers=1, data=AccountData(free=RICHES))


def specification(state: Mapping[bytes, bytes]) -> dict[str, Any]:
    """Return a raw chain specification."""
    top = {"0x" + key.hex(): "0x" + value.hex() for key, value in state.items()}
    spec: dict[str, Any] = json.loads(files("genesis").joinpath("dev.json").read_text())
    return {**spec, "id": "bench", "genesis": {"raw": {"top": top, "childrenDefault": {}}}}


def genesis_hash(state: dict[bytes, bytes]) -> Hash:
    """Return the hash of block 0."""
    return genesis_header(MemoryState(state).root({})).hash()


def signed(key: Keypair, nonce: int, to: AccountId, genesis: Hash) -> bytes:
    """Return a signed transfer of one ASY that stays valid for ever."""
    call = AssayRuntime.call("Balances", "transfer_keep_alive", to, ONE_ASY)
    extra = ((), (), (), (), IMMORTAL, nonce, (), 0, MetadataHashMode.Disabled, ())
    implied = ((), VERSION.spec_version, VERSION.transaction_version, genesis, genesis, (), (), (), None, ())
    signature = Sr25519(key.sign(EXECUTIVE.format.payload(call, extra, implied)))
    return EXECUTIVE.format.signed(call, AccountId(key.public), signature, extra)


def rounds(senders: list[Keypair], count: int, genesis: Hash) -> Iterator[bytes]:
    """Yield so many transfers, each sender in turn, each to the one after."""
    for number in range(count):
        at, nonce = number % len(senders), number // len(senders)
        to = AccountId(senders[(at + 1) % len(senders)].public)
        yield signed(senders[at], nonce, to, genesis)


@dataclass(frozen=True, slots=True)
class Slot:
    """When a block is made, by //Alice, who authors every slot."""

    number: int
    ms: int
    pre_digest: PreRuntime

    @classmethod
    def of(cls, number: int, slot_ms: int, epoch: Epoch) -> "Slot":
        """Return the slot as //Alice claims it."""
        claimed = claim(ALICE, number, epoch)
        assert claimed is not None, "//Alice is the only authority"
        return cls(number, number * slot_ms, claimed)


def build(
    state: State, parent: Header, slot: Slot, extrinsics: list[bytes], verify: Verify = crypto.verify
) -> tuple[Header, list[bytes], Changes]:
    """Return a sealed block and what it changes."""
    execution = EXECUTIVE.open(state, parent.number + 1, parent.hash(), Digest([slot.pre_digest]), verify)
    body = [*execution.inherents({"timestamp": slot.ms}), *extrinsics]
    for extrinsic in body:
        assert execution.apply(extrinsic) is None, "a transfer failed"
    executed = execution.finish()
    header = executed.header.sealed(seal_of(executed.header, ALICE))
    return header, body, executed.changes


def write(path: Path, spec: dict[str, Any]) -> Path:
    """Write a specification to a file."""
    path.write_text(json.dumps(spec))
    return path
