"""How fast the state machine is: transfers, codecs beside scalecodec, state roots. One core, no network.

    python -m bench.runtime [--json FILE]

Each figure is the median of several passes in one process, in CPU time of the one thread that works, so that
other programs on the machine matter little.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from bench.record import finish, parser
from chain.consensus.slots import Epoch, claim
from chain.keys import Keypair
from chain.storage.store import ChainStore
from runtime.apis import answer
from runtime.frame.base import Call
from runtime.frame.executive import genesis_header
from runtime.frame.testing import MemoryState
from runtime.genesis import genesis_state
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header, PreRuntime
from runtime.primitives.types import AccountId
from runtime.runtime import EXECUTIVE, VERSION, AssayRuntime

TRANSFERS = 500
PASSES = 5
STATE_KEYS = 100_000
CHANGED_KEYS = 2_000
FIRST_SLOT = 1_000
SLOT_MS = 2_000
ONE_ASY = 10**12
"""planck"""


@dataclass(frozen=True)
class Chain:
    """The development chain at genesis, in memory."""

    state: MemoryState
    genesis: Header


def main() -> None:
    """Measure everything."""
    given = parser(__doc__).parse_args()
    chain = genesis()
    batch = transfers(chain)
    figures: dict[str, float] = {"transfers": len(batch), "extrinsic_bytes": len(batch[0])}
    figures |= measure_execution(chain, batch)
    figures |= measure_codecs(chain, batch[0])
    figures |= measure_roots()
    finish("runtime", figures, given)


def genesis() -> Chain:
    """Return the development chain before its first block."""
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    state = MemoryState(genesis_state(spec["genesis"]["runtimeGenesis"]["config"], "dev"))
    return Chain(state, genesis_header(state.root({})))


def transfers(chain: Chain) -> list[bytes]:
    """Return transfers from //Alice, each to an account that does not exist yet."""
    alice = Keypair.from_suri("//Alice", "sr25519")
    return [signed(chain, alice, nonce, destination(nonce)) for nonce in range(TRANSFERS)]


def destination(number: int) -> Call:
    """Return a transfer of one ASY to a fresh account."""
    account = AccountId(blake2_256(b"bench" + number.to_bytes(4, "little")))
    return AssayRuntime.call("Balances", "transfer_keep_alive", account, ONE_ASY)


def signed(chain: Chain, by: Keypair, nonce: int, call: Call) -> bytes:
    """Return a signed extrinsic for block 1."""
    extra = ((), (), (), (), IMMORTAL, nonce, (), 0, MetadataHashMode.Disabled, ())
    first = chain.genesis.hash()
    implied = ((), VERSION.spec_version, VERSION.transaction_version, first, first, (), (), (), None, ())
    signature = Sr25519(by.sign(EXECUTIVE.format.payload(call, extra, implied)))
    return EXECUTIVE.format.signed(call, AccountId(by.public), signature, extra)


def measure_execution(chain: Chain, batch: list[bytes]) -> dict[str, float]:
    """Return signed transfers per second, checks and signatures included, and the share of a block's end."""
    seconds, ends = [], []
    for _ in range(PASSES):
        began = time.thread_time()
        execution = EXECUTIVE.open(chain.state, 1, chain.genesis.hash(), Digest([pre_digest(chain)]))
        for inherent in execution.inherents({"timestamp": FIRST_SLOT * SLOT_MS}):
            execution.apply(inherent)
        for extrinsic in batch:
            assert execution.apply(extrinsic) is None, "a transfer failed"
        applied = time.thread_time()
        execution.finish()
        ends.append(time.thread_time() - applied)
        seconds.append(applied - began)
    checked = EXECUTIVE.validation(chain.state, chain.genesis)
    return {
        "transfers_per_second": round(len(batch) / median(seconds)),
        "validation_us": round(1e6 * timed(lambda: checked.check(batch[0]), 200), 1),
        "block_end_ms": round(1e3 * median(ends), 1),
    }


def pre_digest(chain: Chain) -> PreRuntime:
    """Return //Alice's claim of the first slot."""
    runtime = AssayRuntime.reading(chain.state)
    epoch = Epoch(0, runtime.babe.authorities.get(), runtime.babe.randomness.get())
    made = claim(Keypair.from_suri("//Alice", "ed25519"), FIRST_SLOT, epoch)
    assert made is not None, "//Alice is the only authority"
    return made


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
    ours, other = timed(lambda: EXECUTIVE.format.decode(encoded), 2_000), timed(decode_theirs, 50)
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
