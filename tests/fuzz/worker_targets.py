"""Decoders of miners/ and validators/: what strangers publish, what the chain says, what a restart finds."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from miners import payload
from miners.blobs.receipts import BadReceipt
from miners.blobs.signing import HEADERS, BadRequest, Claim, read
from miners.compressor import Compressor, LostMemory
from miners.data import Manifest, Shard, UnusableCorpus, decode_manifest
from miners.layout import ModelConfig, parameters_of
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, PayloadShape, compress
from miners.promise import BLOB_FILE, PROMISE_FILE, Promise, Promises
from miners.weights import RefusedWeights, from_bytes, initial
from runtime.primitives.commitments import Score
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import RECEIPT, Receipt
from runtime.primitives.types import Hash
from tests.fuzz.engine import Target
from tests.fuzz.node_targets import JSON_WORDS
from tests.miners.blobs.people import MINER, owed, receipt
from validators.envelope import ENVELOPE_FILE, Envelope, Sealed

MODEL = ModelConfig(vocabulary=8, hidden=4, layers=1, heads=1, feed_forward=4, sequence=4)
TRAINING = TrainingParameters(model=MODEL, chunk=16, top_k=4)
HOME = tempfile.TemporaryDirectory(prefix="fuzz-")
"""Lives as long as the process; the decoders here read files."""


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [
        _payload(), _manifest(), _weights(), _memory(), _parameters(), _promise(), _envelope(), _headers(),
        _receipt(),
    ]  # fmt: skip


def _payload() -> Target:
    shape = PayloadShape(base=bytes(32), parameters=1_000, chunk=128, top_k=8, max_bytes=4_096)
    rng = np.random.default_rng(1)
    seeds = [
        payload.encode(compress(rng.normal(0, scale, shape.parameters).astype(np.float32), shape))
        for scale in (1e-3, 1.0, 100.0)
    ]
    return Target(
        "miners.payload", lambda blob: payload.decode(blob, shape), (MalformedPayload,), tuple(seeds),
        why_loose="the sender may choose another rice parameter than the shortest", quick=1_500,
    )  # fmt: skip


def _manifest() -> Target:
    shards = [Shard(Hash(blake2_256(bytes([at]))), 100 + at) for at in range(5)]
    made = Manifest(2, shards, shards[:2])
    return Target("miners.manifest", decode_manifest, (UnusableCorpus,), (made.encode(),), Manifest.encode)


def _weights() -> Target:
    model = initial(MODEL, b"seed")
    return Target(
        "miners.weights", lambda blob: from_bytes(MODEL, blob), (RefusedWeights,), (model.to_bytes(),),
        lambda read: read.to_bytes(),
    )  # fmt: skip


def _memory() -> Target:
    """With the right checksum, so that the numbers are reached, unless the first byte says no."""
    path = Path(HOME.name) / "memory"
    Compressor(TRAINING).save(path)
    made = path.read_bytes()
    assert len(made) == 5 + 32 + 32 + 4 * parameters_of(MODEL)

    def read(data: bytes) -> Compressor:
        body = data[37:]
        path.write_bytes(data if data[:1] != b"A" else data[:5] + blake2_256(body) + body)
        return Compressor.load(TRAINING, path)

    return Target(
        "miners.error_feedback", read, (LostMemory,), (made,), quick=800, long=100_000,
        why_loose="the checksum is made here",
    )  # fmt: skip


def _parameters() -> Target:
    """The numbers a subnet's owner chooses: nine bytes each, the first chooses the name."""
    names = sorted(TRAINING.to_integers())

    def read(data: bytes) -> Any:
        numbers = TrainingParameters().to_integers()
        for at in range(0, len(data) - 8, 9):
            numbers[names[data[at] % len(names)]] = int.from_bytes(data[at + 1 : at + 9], "little")
        chosen = TrainingParameters.from_integers(numbers)
        parameters_of(chosen.model)
        return chosen

    seeds = tuple(bytes([at]) + (2**at).to_bytes(8, "little") for at in range(len(names)))
    return Target(
        "miners.parameters", read, (ValueError,), seeds, why_loose="names may come twice", quick=800
    )


def _promise() -> Target:
    home = Path(HOME.name)
    (home / BLOB_FILE).write_bytes(b"blob")
    text = "00" * 32
    made = Promise(1, text, text, blake2_256(b"blob").hex(), 4, text)
    seed = json.dumps({name: getattr(made, name) for name in made.__slots__}).encode()

    def read(data: bytes) -> Any:
        (home / PROMISE_FILE).write_bytes(data)
        found = Promises(home).open()
        return found and found[0].commitment(bytes(32), 1)

    return Target(
        "miners.promise", read, (), (seed,), words=JSON_WORDS, quick=800, long=100_000,
        why_loose="JSON has many spellings",
    )  # fmt: skip


def _envelope() -> Target:
    home = Path(HOME.name)
    text = "00" * 32
    Envelope(home).keep(Sealed(1, text, text, text, [Score(1, 2, 3, 4, -5, 6)]))
    seed = (home / ENVELOPE_FILE).read_bytes()

    def read(data: bytes) -> Any:
        (home / ENVELOPE_FILE).write_bytes(data)
        found = Envelope(home).of(1, bytes(32))
        return found and found.commitment(bytes(32), 1)

    return Target(
        "validators.envelope", read, (), (seed,), words=JSON_WORDS, quick=800, long=100_000,
        why_loose="JSON has many spellings",
    )  # fmt: skip


def _headers() -> Target:
    """The five headers of a signed request, one to a line."""

    def take(data: bytes) -> Claim | None:
        lines = data.decode("latin-1").split("\n")
        if len(lines) != len(HEADERS):
            raise BadRequest(400, "this target takes five lines")
        return read(dict(zip(HEADERS, lines, strict=True)))

    def write(claim: Claim) -> bytes:
        return "\n".join(claim.headers()[name] for name in HEADERS).encode()

    seeds = [
        Claim(bytes([at]) * 32, bytes(32), 10**at, bytes(16), bytes([255 - at]) * 64)
        for at in range(0, 16, 5)
    ]
    return Target("miners.blob_headers", take, (BadRequest,), tuple(write(seed) for seed in seeds), write)


def _receipt() -> Target:
    """A miner's header: only what its hotkey has signed is one."""
    blob = b"payload"
    true = receipt(MINER, blob)

    def take(data: bytes) -> Receipt:
        found = owed(MINER.hotkey).read(data.decode("latin-1"), blake2_256(blob))
        assert RECEIPT.encode(found).hex() == true, "a receipt that nobody has signed"
        return found

    def write(found: Receipt) -> bytes:
        return RECEIPT.encode(found).hex().encode()

    return Target("miners.receipt", take, (BadReceipt,), (true.encode(),), write, quick=800, long=200_000)
