"""How fast the state machine is: transfers, codecs beside scalecodec, state roots. One core, no network.

    python -m bench.runtime [--json FILE]

Each figure is the median of several passes in one process, in CPU time of the one thread that works, so that
other programs on the machine matter little.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from bench.record import finish, parser
from chain.consensus.slots import Epoch, claim
from chain.keys.pair import Keypair
from chain.storage.store import ChainStore
from runtime.apis import answer
from runtime.frame.base import Call
from runtime.frame.executive import Executed, genesis_header
from runtime.frame.testing import MemoryState
from runtime.genesis import genesis_state
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives import crypto
from runtime.primitives.crypto import MultiSignature, Sr25519, Verify
from runtime.primitives.era import IMMORTAL
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header, PreRuntime
from runtime.primitives.scale import Input
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import ZERO_HASH, AccountId, Hash
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime

TRANSFERS = 500
PASSES = 5
STATE_KEYS = 100_000
CHANGED_KEYS = 2_000
FIRST_SLOT = 1_000
SLOT_MS = 2_000
SUPPLIED = {"timestamp": FIRST_SLOT * SLOT_MS}
"""What the author knows: ms since the Unix epoch"""
ONE_ASY = 10**12
"""planck"""


class Rootless(MemoryState):
    """A state in memory that makes no roots: those have a measurement of their own."""

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Return zeros."""
        return ZERO_HASH


@dataclass(frozen=True)
class Chain:
    """The development chain at genesis, in memory, and //Alice's claim of the first slot."""

    state: MemoryState
    genesis: Header
    slot_claim: PreRuntime


def main() -> None:
    """Measure everything."""
    given = parser(__doc__).parse_args()
    chain = genesis()
    batches = [transfers(chain, number) for number in range(PASSES)]
    figures: dict[str, float] = {"transfers": TRANSFERS, "extrinsic_bytes": len(batches[0][0])}
    figures |= measure_execution(chain, batches)
    figures |= {f"stage_{name}": each for name, each in measure_stages(chain, batches[0]).items()}
    figures |= measure_codecs(chain, batches[0][0])
    figures |= measure_roots()
    finish("runtime", figures, given)


def genesis() -> Chain:
    """Return the development chain before its first block."""
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    state = Rootless(genesis_state(spec["genesis"]["runtimeGenesis"]["config"], "dev"))
    babe = AssayRuntime.reading(state).babe
    epoch = Epoch(0, babe.authorities.get(), babe.randomness.get())
    made = claim(Keypair.from_suri("//Alice", "ed25519"), FIRST_SLOT, epoch)
    assert made is not None, "//Alice is the only authority"
    return Chain(state, genesis_header(state.root({})), made)


def transfers(chain: Chain, batch: int) -> list[bytes]:
    """Return transfers from //Alice, each to an account that does not exist yet."""
    alice = Keypair.from_suri("//Alice", "sr25519")
    return [signed(chain, alice, nonce, destination(batch, nonce)) for nonce in range(TRANSFERS)]


def destination(batch: int, number: int) -> Call:
    """Return a transfer of one ASY to a fresh account."""
    account = AccountId(blake2_256(b"bench" + batch.to_bytes(4, "little") + number.to_bytes(4, "little")))
    return AssayRuntime.call("Balances", "transfer_keep_alive", account, ONE_ASY)


def signed(chain: Chain, by: Keypair, nonce: int, call: Call) -> bytes:
    """Return a signed extrinsic for block 1."""
    extra = ((), (), (), (), IMMORTAL, nonce, (), 0, MetadataHashMode.Disabled, ())
    first = chain.genesis.hash()
    implied = ((), VERSION.spec_version, VERSION.transaction_version, first, first, (), (), (), None, ())
    signature = Sr25519(by.sign(EXECUTIVE.format.payload(call, extra, implied)))
    return EXECUTIVE.format.signed(call, AccountId(by.public), signature, extra)


def measure_execution(chain: Chain, batches: list[list[bytes]]) -> dict[str, float]:
    """Return transfers per second when building and importing blocks, and what is left without signatures.

    Each pass has transfers of its own, so that nothing is known from the pass before; no state root is made.
    """
    built, imported, unsigned = (
        [build(chain, batch, crypto.verify)[2] for batch in batches],
        [execute(chain, batch, crypto.verify) for batch in batches],
        [execute(chain, batch, trusting) for batch in batches],
    )
    first = [batch[0] for batch in batches]
    return {
        "transfers_per_second": round(TRANSFERS / median(built)),
        "imported_per_second": round(TRANSFERS / median(imported)),
        "imported_per_second_unsigned": round(TRANSFERS / median(unsigned)),
        "import_us_unsigned": round(1e6 * median(unsigned) / TRANSFERS, 1),
        "validation_us": check(chain, first, crypto.verify),
        "validation_us_unsigned": check(chain, first, trusting),
        "empty_block_ms": round(1e3 * timed(lambda: build(chain, [], trusting), 10), 2),
    }


def build(chain: Chain, batch: list[bytes], verify: Verify) -> tuple[Executed, list[bytes], float]:
    """Return block 1 with these transfers, its body, and the seconds applying them took."""
    EXECUTIVE.format.forget()
    execution = EXECUTIVE.open(chain.state, 1, chain.genesis.hash(), Digest([chain.slot_claim]), verify)
    inherents = execution.inherents(SUPPLIED)
    for inherent in inherents:
        execution.apply(inherent)
    began = time.thread_time()
    errors = [execution.apply(each) for each in batch]
    seconds = time.thread_time() - began
    assert not any(errors), "a transfer failed"
    return execution.finish(), [*inherents, *batch], seconds


def execute(chain: Chain, batch: list[bytes], verify: Verify) -> float:
    """Return the seconds it takes to execute a foreign block."""
    executed, body, _ = build(chain, batch, trusting)
    EXECUTIVE.format.forget()
    began = time.thread_time()
    EXECUTIVE.execute_block(chain.state, executed.header, body, SUPPLIED, verify)
    return time.thread_time() - began


def check(chain: Chain, transactions: list[bytes], verify: Verify) -> float:
    """Return microseconds to check a transaction for the pool, which has not seen it before."""
    validation = EXECUTIVE.validation(chain.state, chain.genesis, verify)

    def fresh() -> None:
        EXECUTIVE.format.forget()
        for each in transactions:
            validation.check(each)

    seconds = timed(fresh, 40)
    return round(1e6 * seconds / len(transactions), 1)


def trusting(signature: MultiSignature, message: bytes, signer: AccountId) -> bool:
    """Believe every claim: what is left is the cost of everything else."""
    return True


def measure_stages(chain: Chain, batch: list[bytes]) -> dict[str, float]:
    """Return microseconds per transfer of each stage of an import."""
    execution = EXECUTIVE.open(chain.state, 1, chain.genesis.hash(), Digest([chain.slot_claim]), trusting)
    runtime = execution.runtime
    admission = EXECUTIVE.admission(runtime, trusting)
    decoded = [EXECUTIVE.format.read(each) for each in batch]
    signed = [(each, each.signature) for each in decoded if each.signature is not None]
    claims = [admission.claim(*each) for each in signed]
    seconds = {
        "decode": timed(lambda: [EXECUTIVE.format.read(each) for each in batch], 1),
        "authenticate": timed(lambda: [admission.claim(*each) for each in signed], 1),
        "signature": timed(lambda: [crypto.verify(*claim) for claim in claims], 1),
    }
    seconds["execute"] = median(build(chain, batch, trusting)[2] for _ in range(PASSES))
    for inherent in execution.inherents(SUPPLIED):
        execution.apply(inherent)
    for each in batch:
        execution.apply(each)
    events = [runtime.read_record(Input(record)).event for record in runtime.overlay.events]

    def deposit() -> None:
        for event in events:
            runtime.deposit_event(event)

    seconds["events"] = timed(deposit, 1)
    seconds["execute"] -= seconds["decode"] + seconds["authenticate"] + seconds["events"]
    seconds["extrinsics_root"] = timed(lambda: ordered_root(batch), 1)
    began = time.thread_time()
    execution.finish()
    seconds["finish"] = time.thread_time() - began - seconds["extrinsics_root"]
    return {f"{name}_us": round(1e6 * each / len(batch), 1) for name, each in seconds.items()}


def measure_codecs(chain: Chain, encoded: bytes) -> dict[str, float]:
    """Return microseconds to decode and encode one signed transfer, ours and scalecodec's."""
    theirs = scalecodec_runtime(chain)
    decoded = EXECUTIVE.format.decode(encoded)
    assert decoded.signature is not None

    def decode_theirs() -> object:
        made = theirs.create_scale_object("Extrinsic", ScaleBytes(encoded), metadata=theirs.bench_metadata)
        made.decode()
        return made

    value = decode_theirs().value  # type: ignore[attr-defined]
    value["call"] = {key: value["call"][key] for key in ("call_module", "call_function", "call_args")}

    def encode_ours() -> bytes:
        signature = decoded.signature
        assert signature is not None
        return EXECUTIVE.format.signed(
            decoded.call, AccountId(signature.address._0), signature.signature, signature.extra
        )

    def encode_theirs() -> bytes:
        made = theirs.create_scale_object("Extrinsic", metadata=theirs.bench_metadata)
        return bytes(made.encode(dict(value)).data)

    assert encode_ours() == encoded == encode_theirs(), "the two codecs disagree"
    ours, other = timed(lambda: EXECUTIVE.format.read(encoded), 2_000), timed(decode_theirs, 50)
    ours_out, other_out = timed(encode_ours, 2_000), timed(encode_theirs, 50)
    return {
        "decode_us": round(1e6 * ours, 1),
        "decode_scalecodec_us": round(1e6 * other, 1),
        "decode_ratio": round(other / ours, 1),
        "encode_us": round(1e6 * ours_out, 1),
        "encode_scalecodec_us": round(1e6 * other_out, 1),
        "encode_ratio": round(other_out / ours_out, 1),
    }


def scalecodec_runtime(chain: Chain) -> RuntimeConfigurationObject:
    """Return scalecodec set up with this chain's metadata, as a client sets it up."""
    made = RuntimeConfigurationObject(ss58_format=42)
    made.update_type_registry(load_type_registry_preset("core"))
    raw = answer(chain.state, chain.genesis, "Metadata_metadata", b"")
    metadata = made.create_scale_object("MetadataVersioned", ScaleBytes(raw[4:]))
    metadata.decode()
    made.add_portable_registry(metadata)
    made.bench_metadata = metadata
    return made


def measure_roots() -> dict[str, float]:
    """Return microseconds of a state root per changed key, on a state on disk."""
    chosen = random.Random(1)
    keys = [chosen.randbytes(48) for _ in range(STATE_KEYS)]
    changes: dict[bytes, bytes | None] = {key: chosen.randbytes(80) for key in keys[:CHANGED_KEYS]}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as directory:
        store = ChainStore.open(Path(directory) / "db", {key: chosen.randbytes(80) for key in keys})
        try:
            seconds = []
            for number in range(PASSES):
                fresh = {key: number.to_bytes(4, "little") * 20 for key in changes}
                state = store.state_at(store.genesis_hash)
                began = time.thread_time()
                state.root(fresh)
                seconds.append(time.thread_time() - began)
        finally:
            store.close()
    return {
        "state_keys": STATE_KEYS,
        "changed_keys": CHANGED_KEYS,
        "root_us_per_changed_key": round(1e6 * median(seconds) / CHANGED_KEYS, 1),
    }


def timed(work: Callable[[], object], times: int) -> float:
    """Return the median seconds of one call over several passes."""
    passes = []
    for _ in range(PASSES):
        began = time.thread_time()
        for _ in range(times):
            work()
        passes.append((time.thread_time() - began) / times)
    return median(passes)


if __name__ == "__main__":
    main()
