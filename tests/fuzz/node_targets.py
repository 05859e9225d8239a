"""Decoders of chain/: chain specifications, keys, key files, database records, the guard's file."""

import io
import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from chain.commands.block_files import (
    BlockFileError,
    SignedBlock,
    read_binary,
    read_json,
    write_binary,
    write_json,
)
from chain.common.errors import StorageError
from chain.consensus.guard import Guard
from chain.consensus.guard_records import GUARD_FILE, GuardError, Records, store
from chain.keys.keystore import BABE_KEY, Keystore, KeystoreError
from chain.keys.pair import Keypair, SuriError
from chain.keys.polkadot_json import PolkadotJsonError, open_export
from chain.spec import ChainSpec, SpecError
from chain.storage.disk_chain import pack_changes, unpack_changes
from chain.storage.state import pack_old, unpack_old
from chain.storage.trie import Branch
from runtime.apis import NATIVE
from runtime.primitives.hashing import blake2_256
from runtime.primitives.manifest import Manifest, ManifestError
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.trie import ProofError, encode_branch, encode_leaf, node_value
from tests.chain.exports import export
from tests.fuzz.chain import chain
from tests.fuzz.engine import Target

JSON_WORDS = tuple(
    word.encode()
    for word in (
        "null", "true", "[", "]", "{", "}", "[]", "{}", '""', '"x"', ":", ",", "-1", "0", "1e999", "0.5",
        "NaN", "1" * 30, "9" * 5000, '"0x"', '"0xzz"', '"\\ud800"', '"\\u0000"', "é", '"__proto__":',
        "[[[[", '{"":',
    )
)  # fmt: skip
PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"


@dataclass
class OneFile:
    """A disk whose every file has the same content."""

    content: bytes
    written: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        return self.content

    def replace(self, name: str, content: bytes) -> None:
        self.written[name] = content

    def names(self) -> list[str]:
        return [GUARD_FILE]

    def lock(self, name: str) -> "OneFile":
        return self

    def release(self) -> None:
        """Let go of the lock."""


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [
        _specification(), _raw_specification(), _uris(), _key_files(), _exports(), _manifest(), _branches(),
        _undo(), _history(), _bodies(), _guard(), _binary_blocks(), _json_blocks(),
    ]  # fmt: skip


def _specification() -> Target:
    text = files("genesis").joinpath("dev.json").read_text()
    small = json.dumps(json.loads(text), separators=(",", ":")).encode()
    endless = small.replace(b'"EpochDuration":30', b'"EpochDuration":1e999')

    def read(data: bytes) -> Any:
        return ChainSpec.parse(data.decode("utf-8", "replace"), "fuzz").state()

    return Target(
        "spec.json", read, (SpecError,), (small, endless), words=JSON_WORDS, quick=150, long=100_000,
        why_loose="JSON has many spellings",
    )  # fmt: skip


def _raw_specification() -> Target:
    top = {"0x" + bytes([at]).hex() * 4: "0x" + "ab" * at for at in range(5)}
    raw = {"name": "n", "id": "i", "chainType": "Live", "properties": {}, "genesis": {"raw": {"top": top}}}

    def read(data: bytes) -> Any:
        return ChainSpec.parse(data.decode("utf-8", "replace"), "fuzz").state()

    return Target(
        "spec.raw", read, (SpecError,), (json.dumps(raw).encode(),), words=JSON_WORDS,
        why_loose="JSON has many spellings",
    )  # fmt: skip


def _uris() -> Target:
    """The first byte chooses the scheme."""
    texts = (
        "//Alice",
        "//Alice/soft//2",
        "0x" + "ab" * 32,
        "0x" + "ab" * 32 + "//1",
        PHRASE,
        PHRASE + "///p",
    )
    seeds = [kind + text.encode() for text in texts for kind in (b"0", b"1", b"2")]

    def read(data: bytes) -> Keypair:
        kind = ("sr25519", "ed25519", "ecdsa")[(data[0] if data else 0) % 3]
        return Keypair.from_suri(data[1:].decode("utf-8", "surrogateescape"), kind)

    return Target(
        "keys.uri", read, (SuriError,), tuple(seeds), quick=400, long=200_000,
        words=(b"//", b"///", b"/", b"0x", b" ", b"\0", b"walk"),
        why_loose="a URI does not follow from its key",
    )  # fmt: skip


def _key_files() -> Target:
    pair = Keypair.from_suri("//Alice", "ed25519")
    seeds = (b'"//Alice"', b'"0x' + b"ab" * 32 + b'"', json.dumps(PHRASE).encode())

    def read(data: bytes) -> Keypair:
        return Keystore(OneFile(data)).keypair(BABE_KEY, pair.public)

    return Target(
        "keystore.file", read, (KeystoreError,), seeds, words=JSON_WORDS, quick=400, long=200_000,
        why_loose="a key file does not follow from its key",
    )  # fmt: skip


def _exports() -> Target:
    """Where the scrypt parameters survive, an input takes a tenth of a second: few inputs."""
    seeds = (export(Keypair.from_suri("//Alice", "sr25519"), "password").encode(),)

    def read(data: bytes) -> Keypair:
        return open_export(data.decode("utf-8", "replace"), "password")

    return Target(
        "polkadot_js.export", read, (PolkadotJsonError,), seeds, words=JSON_WORDS, quick=30, long=5_000,
        why_loose="an export is salted",
    )  # fmt: skip


def _manifest() -> Target:
    """The runtime manifest under :code."""
    made = NATIVE.manifest("fuzz").encode()
    newer = made.replace(b'"spec_version":', b'"spec_version":9')
    return Target(
        "runtime.manifest", Manifest.decode, (ManifestError,), (made, newer, b"[1]"), Manifest.encode,
        words=JSON_WORDS,
    )  # fmt: skip


def _branches() -> Target:
    children = tuple(b"\x80" + blake2_256(bytes([at])) for at in range(16))
    seeds = [
        b"\x03\x00" + encode_branch("12", node_value(b"v"), 0b11, children[:2]),
        b"\x00\x80" + encode_branch("", node_value(b"w" * 40), 0xFFFF, children),
        b"\x03\x00" + encode_leaf("a4", node_value(b"no branch")),
    ]

    return Target("db.branch", Branch.of, (ProofError,), tuple(seeds), Branch.record)


def _undo() -> Target:
    seeds = (pack_changes({b"key": b"value", b"": None, b"k" * 70: b""}), b"")
    why = "a torn record is read as far as it goes; the root it leads to shows it"
    return Target("db.undo", unpack_changes, (), seeds, why_loose=why)


def _history() -> Target:
    why = "a value is kept behind any byte but zero"
    return Target(
        "db.history", unpack_old, (StorageError,), (pack_old(None), pack_old(b"value")), why_loose=why
    )


def _bodies() -> Target:
    of = codec(list[bytes])
    return Target(
        "db.body", of.decode, (DecodeError,), (of.encode([]), of.encode([b"a", b"b" * 99])), of.encode
    )


def _guard() -> Target:
    """With the right checksum in front, so that the records are reached; a mutated one is refused first."""
    disk = OneFile(b"")
    store(disk, Records({}, {}, {}))
    empty = disk.content = disk.written[GUARD_FILE]
    guard = Guard.open(disk)
    guard.admit_author(bytes(32))
    guard.begin_silence([], [bytes(range(32))], 60)
    made = disk.written[GUARD_FILE]

    def read(data: bytes) -> bytes:
        body = data[32:]
        Guard.open(OneFile(data if data[:1] == b"\0" else blake2_256(body) + body))
        return data

    return Target(
        "guard.file", read, (GuardError,), (made, empty),
        why_loose="its records are SCALE, which the registry's target writes again",
    )  # fmt: skip


def _blocks() -> list[SignedBlock]:
    known = chain()
    signed = [SignedBlock(header, body, None) for header, body in known.blocks]
    return [*signed[:-1], SignedBlock(*known.blocks[-1], known.justification)]


def _binary_blocks() -> Target:
    made = io.BytesIO()
    write_binary(made, 3, iter(_blocks()))

    def write(blocks: list[SignedBlock]) -> bytes:
        again = io.BytesIO()
        write_binary(again, len(blocks), iter(blocks))
        return again.getvalue()

    def read(data: bytes) -> list[SignedBlock]:
        return list(read_binary(io.BytesIO(data)))

    assert write(read(made.getvalue())) == made.getvalue()
    return Target(
        "blocks.binary", read, (BlockFileError,), (made.getvalue(), bytes(8)), quick=800, long=300_000,
        why_loose="proofs of other engines are passed over, and so is what follows the last block",
    )  # fmt: skip


def _json_blocks() -> Target:
    made = io.BytesIO()
    write_json(made, 3, iter(_blocks()))

    def read(data: bytes) -> list[SignedBlock]:
        return list(read_json(io.BytesIO(data)))

    return Target(
        "blocks.json", read, (BlockFileError,), (made.getvalue(), b""), words=JSON_WORDS, quick=400,
        long=100_000,
        why_loose="JSON has many spellings",
    )  # fmt: skip
