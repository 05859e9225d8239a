"""Decoders of runtime/: codecs, headers, votes, proofs, extrinsics, runtime calls, whole blocks."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from runtime import apis
from runtime.apis import answer
from runtime.frame.api import ApiTrap
from runtime.frame.base import RuntimeCall
from runtime.frame.executive import BlockRejected
from runtime.frame.pallet import spec_of
from runtime.frame.storage import item_prefix
from runtime.frame.testing import MemoryState
from runtime.primitives import babe, grandpa, ss58, vrf
from runtime.primitives.babe import PRE_DIGEST, PreDigestError, pre_digest_item, pre_digest_of
from runtime.primitives.commitments import SCORES, UPDATE
from runtime.primitives.crypto import Ecdsa, Ed25519, MultiSignature, Sr25519, verify
from runtime.primitives.era import ERA_CODEC
from runtime.primitives.grandpa import (
    JUSTIFICATION,
    JustificationError,
    decode_justification,
    verify_justification,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header, PreRuntime, Seal, decode_header
from runtime.primitives.scale import Codec, DecodeError, Input, codec, read_compact, write_compact
from runtime.primitives.shapes import Compact, u128
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.trie import (
    Node,
    NodeValue,
    ProofError,
    decode_node,
    encode_branch,
    encode_leaf,
    node_value,
    verify_proof,
)
from runtime.primitives.types import ZERO_HASH, AccountId, Hash, MultiAddress
from runtime.runtime import EXECUTIVE, AssayRuntime
from tests.fuzz.chain import ALICE, chain, remark, signed
from tests.fuzz.engine import Target
from tests.fuzz.samples import sample

SAMPLES = 3
"""seeds per registry type"""


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [
        _compact(), _era(), _registry(), _calls(), _events(), _header(), _pre_digest(), _messages(),
        _justification(), _verified_justification(), _trie_node(), _read_proof(), _extrinsic(), _validation(),
        _runtime_api(), _block(), _commitments(), _ss58(), _signatures(), _vrf(),
    ]  # fmt: skip


def _compact() -> Target:
    numbers = (0, 63, 64, 2**14 - 1, 2**14, 2**30 - 1, 2**30, 2**64 - 1, 2**128 - 1, 2**536 - 1)

    def write(number: int) -> bytes:
        out = bytearray()
        write_compact(number, out)
        return bytes(out)

    def read(data: bytes) -> int:
        source = Input(data)
        number = read_compact(source)
        if source.left():
            raise DecodeError("left over")
        return number

    return Target("scale.compact", read, (DecodeError,), tuple(map(write, numbers)), write)


def _whole(of: Codec[Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        source = Input(data)
        value = of.read(source)
        if source.left():
            raise DecodeError("left over")
        return value

    return read


def _era() -> Target:
    seeds = (b"\x00", b"\x15\x00", b"\xff\xff", b"\xf5\x03")
    return Target("scale.era", _whole(ERA_CODEC), (DecodeError,), seeds, ERA_CODEC.encode)


@cache
def annotations() -> tuple[Any, ...]:
    """Return every type of calls, events, storage, constants, extensions and runtime APIs."""
    found: dict[Any, None] = {}
    for pallet in AssayRuntime.declared.values():
        spec = spec_of(type(pallet))
        found |= dict.fromkeys(spec.events)
        found |= {wire: None for call in spec.calls for wire in call.wire_types}
        found |= {each: None for item in spec.storage for each in (*item.keys, item.value)}
        found |= {constant.annotation: None for constant in spec.constants}
    for extension in EXECUTIVE.extensions:
        found |= dict.fromkeys([extension.extra, extension.implicit])
    for api in apis.SERVED:
        for function in api.functions:
            found |= {annotation: None for _, annotation in function.inputs}
            found[function.output] = None
    found |= dict.fromkeys([MultiSignature, Compact[u128], bool, str, list[bytes]])
    return tuple(found)


def _registry() -> Target:
    """The first two bytes choose the type, so that one corpus serves them all."""
    codecs = [AssayRuntime.codecs.of(annotation) for annotation in annotations()]
    rng = random.Random(1)
    seeds = [
        number.to_bytes(2, "little") + codecs[number].encode(sample(annotation, rng))
        for number, annotation in enumerate(annotations())
        for _ in range(SAMPLES)
        if not _is_records(annotation)
    ]

    def read(data: bytes) -> tuple[int, Any]:
        number = int.from_bytes(data[:2], "little") % len(codecs)
        return number, codecs[number].decode(data[2:])

    def write(data: tuple[int, Any]) -> bytes:
        return codecs[data[0]].encode(data[1])

    return Target(
        "scale.registry", lambda data: (data, read(data)), (DecodeError,), tuple(seeds),
        lambda pair: pair[0][:2] + write(pair[1]) if not _is_records(annotations()[pair[1][0]]) else pair[0],
        quick=10_000,
    )  # fmt: skip


def _is_records(annotation: Any) -> bool:
    return "EventRecords" in repr(annotation)


def _calls() -> Target:
    calls, rng = AssayRuntime.codecs.of(RuntimeCall), random.Random(2)
    seeds = []
    for (pallet, index), target in AssayRuntime.targets.items():
        values = tuple(sample(wire, rng) for wire in target.spec.wire_types)
        seeds.append(bytes([pallet, index]) + target.codec.encode(values))
    inner = AssayRuntime.call("System", "remark", b"x")
    for _ in range(70):
        inner = AssayRuntime.call("Utility", "batch", [inner])
        seeds.append(calls.encode(inner))
    batch = AssayRuntime.call("Utility", "batch", [AssayRuntime.call("System", "remark", b"")] * 300)
    seeds.append(calls.encode(batch))
    return Target("runtime.call", calls.decode, (DecodeError,), tuple(seeds), calls.encode, quick=4_000)


def _events() -> Target:
    state = chain().state
    raw = state.get(item_prefix("System", "Events")) or b"\x00"
    rng = random.Random(3)
    made = b"".join(
        b"\x00\x01\x00\x00\x00" + head + encode(sample(event, rng)) + b"\x00"
        for event, (head, encode) in AssayRuntime.event_writers.items()
    )
    out = bytearray()
    write_compact(len(AssayRuntime.event_writers), out)

    def read(data: bytes) -> Any:
        return AssayRuntime._read_records(Input(data))

    why = "records are read for tests and clients; the state holds the bytes that were deposited"
    return Target("runtime.events", read, (DecodeError,), (raw, bytes(out) + made), why_loose=why)


def _header() -> Target:
    seeds = [header.encode() for header, _ in chain().blocks]
    return Target("header", decode_header, (DecodeError,), tuple(seeds), Header.encode)


def _pre_digest() -> Target:
    """Both ways in: the item's bytes, and a header that may have none or several."""
    items = [
        item._1 for header, _ in chain().blocks for item in header.digest.logs if isinstance(item, PreRuntime)
    ]
    vrf_signature = babe.VrfSignature(bytes(32), bytes(64))
    cases = (
        babe.Primary(1, 2, vrf_signature),
        babe.SecondaryPlain(3, 4),
        babe.SecondaryVRF(5, 6, vrf_signature),
    )
    seeds = [*items, *(pre_digest_item(case)._1 for case in cases)]

    def read(data: bytes) -> Any:
        item = PreRuntime(b"BABE", data)
        logs = [item, item] if data[:1] == b"\xff" else [item, Seal(b"BABE", data)]
        return pre_digest_of(Header(ZERO_HASH, 1, ZERO_HASH, ZERO_HASH, Digest(logs)))

    return Target("babe.pre_digest", read, (PreDigestError,), tuple(seeds), PRE_DIGEST.encode)


def _messages() -> Target:
    """Votes and the logs of both engines; the first byte chooses."""
    kinds = [
        (grandpa.MESSAGE, grandpa.Message),
        (grandpa.SIGNED_MESSAGE, grandpa.SignedMessage),
        (grandpa.CONSENSUS_LOG, grandpa.ConsensusLog),
        (babe.CONSENSUS_LOG, babe.ConsensusLog),
    ]
    rng = random.Random(4)
    seeds = [
        bytes([number]) + of.encode(sample(annotation, rng))
        for number, (of, annotation) in enumerate(kinds)
        for _ in range(6)
    ]

    def read(data: bytes) -> tuple[int, Any]:
        first = data[0] if data else 0
        return first, kinds[first % len(kinds)][0].decode(data[1:])

    def write(pair: tuple[int, Any]) -> bytes:
        return bytes([pair[0]]) + kinds[pair[0] % len(kinds)][0].encode(pair[1])

    return Target("consensus.messages", read, (DecodeError,), tuple(seeds), write, quick=3_000)


def _justification() -> Target:
    rng = random.Random(5)
    made = [JUSTIFICATION.encode(sample(grandpa.GrandpaJustification, rng)) for _ in range(6)]
    seeds = (chain().justification, *made)
    return Target(
        "grandpa.justification", decode_justification, (JustificationError,), seeds,
        lambda justification: justification.encode(),
    )  # fmt: skip


def _verified_justification() -> Target:
    known = chain()
    target = decode_justification(known.justification).commit
    goal = target.target_hash, target.target_number

    def read(data: bytes) -> bytes:
        verify_justification(decode_justification(data), known.voters, known.set_id, goal)
        return data

    honest = decode_justification(known.justification)
    shipped = replace(honest, votes_ancestries=[header for header, _ in known.blocks])
    twice = replace(honest, commit=replace(honest.commit, precommits=honest.commit.precommits * 2))
    return Target(
        "grandpa.verify", read, (JustificationError,),
        (known.justification, shipped.encode(), twice.encode()), quick=1_500, long=500_000,
        why_loose="a precommit may be left out or repeated while the rest still suffices",
    )  # fmt: skip


def _trie_node() -> Target:
    children = tuple(b"\x80" + blake2_256(bytes([at])) for at in range(16))
    seeds = [
        encode_leaf("", node_value(b"")),
        encode_leaf("abc", node_value(b"value")),
        encode_leaf("0" * 700, node_value(b"v" * 40)),
        encode_branch("f" * 64, node_value(b"x" * 32), 0xFFFF, children),
        encode_branch("1", None, 0b11, children[:2]),
        encode_branch("", node_value(b"y" * 99), 1 << 15, (b"\x0c" + b"abc",)),
        *chain().proof,
    ]

    def write(node: Node) -> bytes:
        if not node.bitmap:
            assert isinstance(node.value, NodeValue)
            return encode_leaf(node.partial, node.value)
        present = [child for child in node.children if child is not None]
        return encode_branch(node.partial, node.value, node.bitmap, present)

    return Target("trie.node", decode_node, (ProofError,), tuple(seeds), write)


def _read_proof() -> Target:
    """A proof as a list of nodes; the first one gives the root, so that mutations of it are not in vain."""
    known, nodes = chain(), codec(list[bytes])
    keys = known.proof_keys
    proof = sorted(known.proof, key=lambda node: blake2_256(node) != known.root)

    def read(data: bytes) -> Any:
        given = nodes.decode(data)
        root = Hash(blake2_256(given[0])) if given else known.root
        return verify_proof(root, given, keys)

    return Target(
        "trie.proof", read, (ProofError, DecodeError), (nodes.encode(proof), nodes.encode([])),
        why_loose="nodes that prove nothing are let pass",
    )  # fmt: skip


def _extrinsic() -> Target:
    form = EXECUTIVE.format

    def write(extrinsic: Any) -> bytes:
        if extrinsic.signature is None:
            return form.bare(extrinsic.call)
        from_ = extrinsic.signature
        body = form._extra_bytes(from_.extra) + form._call.encode(extrinsic.call)
        return _prefixed(b"\x84" + _ADDRESS.encode(from_.address) + _SIGNATURE.encode(from_.signature) + body)

    return Target("extrinsic", form.decode, (DecodeError,), _extrinsics(), write, quick=4_000)


_ADDRESS = codec(MultiAddress)
_SIGNATURE = codec(MultiSignature)


def _prefixed(body: bytes) -> bytes:
    out = bytearray()
    write_compact(len(body), out)
    return bytes(out) + body


@cache
def _extrinsics() -> tuple[bytes, ...]:
    nested = AssayRuntime.call("System", "remark", b"deep")
    for _ in range(60):
        nested = AssayRuntime.call("Utility", "batch_all", [nested])
    made = [block for _, body in chain().blocks for block in body]
    return (
        *dict.fromkeys(made),
        remark(0, b"hello"),
        signed(AssayRuntime.call("Balances", "transfer_keep_alive", AccountId(bytes(32)), 10**12), 0),
        signed(nested, 0),
        EXECUTIVE.format.bare(nested),
    )


def _validation() -> Target:
    known = chain()
    check = EXECUTIVE.validation(known.state, known.blocks[-1][0]).check

    def read(data: bytes) -> bytes:
        check(data)
        return data

    return Target(
        "transaction.validate", read, (TransactionRejected,), _extrinsics(), quick=1_500,
        why_loose="what is valid has been decoded and written again by the target `extrinsic`",
    )  # fmt: skip


def _runtime_api() -> Target:
    """The first byte chooses the function, the rest is its argument."""
    known, names = chain(), sorted(apis.NATIVE.functions)
    names = [name for name in names if not name.startswith("Metadata_")]
    rng = random.Random(6)
    header = known.blocks[-1][0]
    seeds = []
    for number, name in enumerate(names):
        inputs = apis.NATIVE.functions[name].inputs
        kinds = [annotation for _, annotation in apis.NATIVE.functions[name].spec.inputs]
        for _ in range(3):
            made = b"".join(each.encode(sample(kind, rng)) for each, kind in zip(inputs, kinds, strict=True))
            seeds.append(bytes([number]) + made)

    def read(data: bytes) -> bytes:
        name = names[(data[0] if data else 0) % len(names)]
        return answer(known.state, header, name, data[1:])

    return Target(
        "runtime.api", read, (DecodeError, ApiTrap), tuple(seeds), quick=1_500, long=300_000,
        why_loose="the value is the runtime's answer",
    )  # fmt: skip


def _block() -> Target:
    """A foreign block on genesis: its header and body as bytes, executed."""
    known, form = chain(), codec(tuple[Header, list[bytes]])
    genesis = MemoryState(known.genesis)
    first = known.blocks[0]
    supplied = {"timestamp": known.first_ms}

    def read(data: bytes) -> Any:
        header, body = form.decode(data)
        EXECUTIVE.execute_block(genesis, header, body, supplied)
        return header, body

    return Target(
        "block.execute", read, (DecodeError, BlockRejected), (form.encode(first),), form.encode,
        quick=150, long=50_000,
    )  # fmt: skip


def _commitments() -> Target:
    rng = random.Random(7)
    kinds = (UPDATE, SCORES)
    genesis, account = Hash(blake2_256(b"g")), AccountId(ALICE.public)
    seeds = [
        b"\x00" + UPDATE.encode(("upd/1", genesis, 1, 2, account, bytes(32), genesis, 3, genesis)),
        b"\x01" + SCORES.encode(("scr/1", genesis, 1, 2, account, rng.randbytes(32), [])),
    ]

    def read(data: bytes) -> Any:
        first = data[0] if data else 0
        return first, kinds[first & 1].decode(data[1:])

    return Target(
        "commitments", read, (DecodeError,), tuple(seeds),
        lambda pair: bytes([pair[0]]) + kinds[pair[0] & 1].encode(pair[1]),
    )  # fmt: skip


def _ss58() -> Target:
    seeds = [ss58.encode(ALICE.public, prefix).encode() for prefix in (0, 42, 63, 64, 16383)]

    def read(data: bytes) -> Any:
        return ss58.decode(data.decode("latin-1"))

    return Target(
        "ss58", read, (ss58.Ss58Error,), tuple(seeds), lambda pair: ss58.encode(pair[1], pair[0]).encode(),
        words=tuple(letter.encode() for letter in "1zIOl0 é"),
    )  # fmt: skip


def _signatures() -> Target:
    """Scheme, signer, signature, message; whatever the bytes, the answer is yes or no."""
    message = b"message"
    seeds = [bytes([kind]) + ALICE.public + ALICE.sign(message) + b"\x1b" + message for kind in range(3)]

    def read(data: bytes) -> bool:
        kind, signer, raw = data[:1], data[1:33].ljust(32, b"\0"), data[33:98].ljust(65, b"\0")
        made = (Ed25519(raw[:64]), Sr25519(raw[:64]), Ecdsa(raw))[(kind or b"\0")[0] % 3]
        return verify(made, data[98:], AccountId(signer))

    return Target(
        "signatures", read, (), tuple(seeds), why_loose="the value is a verdict", quick=1_000, long=200_000
    )


def _vrf() -> Target:
    seed = blake2_256(b"vrf")
    alpha = b"alpha"
    proof = vrf.prove(seed, alpha)
    public = chain().authority
    seeds = (public + proof + alpha, public + proof[::-1] + alpha)

    def read(data: bytes) -> Any:
        return vrf.verify(data[:32], data[112:], data[32:112])

    return Target("vrf", read, (), seeds, why_loose="the value is a verdict", quick=1_000, long=200_000)
