"""A proof of an update that stands by itself: who has the chain's specification needs no node to check it.

    genesis of the specification -> every change of voters, each final by those before -> a final header
        -> its state root -> peaks and number of the updates (trie nodes) -> path -> the update

It is a JSON file of hex: {format, genesis, update, state: [trie nodes], steps: [headers with votes]}.
"""

import json
from dataclasses import dataclass
from typing import Any

from chain.checkpoints import Checkpoint, Checkpoints
from chain.common.block_data import WarpStep
from chain.executor import Executor
from chain.spec import ChainSpec
from chain.storage.heads import genesis_header
from chain.storage.state import Overlay, Roots, StateAt, View
from chain.sync.warp import TrustedPoint, WarpError, verify_step, voters_after
from runtime.primitives.babe import Authorities
from runtime.primitives.header import Header
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.trie import ProofError, trie_root, verify_proof
from runtime.primitives.types import ZERO_HASH, BlockNumber
from runtime.trail_api import LEAF_COUNT_KEY, PEAKS_KEY, UpdateProof, flaw

FORMAT = "assay-update-proof/1"
MAX_FILE = 64 << 20
"""bytes; a change of ten voters takes 4 KB, so that is almost two years of hourly ones"""
MAX_STEPS = 1 << 16
MAX_NODES = 256
"""of the trie, on the way to two values"""
MAX_HEX = 8 << 20
"""digits of one value"""
KEYS = ("format", "genesis", "update", "state", "steps")
STEP = codec(WarpStep)
PROOF = codec(UpdateProof)


class ProofRefused(Exception):
    """The file proves nothing; one line says why."""


@dataclass(frozen=True, slots=True)
class StandingProof:
    """What a file holds; nothing of it is checked yet."""

    genesis: bytes
    update: UpdateProof
    state: list[bytes]
    steps: list[WarpStep]

    def to_json(self) -> str:
        """Return the file's text."""
        content = {
            "format": FORMAT,
            "genesis": _hex(self.genesis),
            "update": _hex(PROOF.encode(self.update)),
            "state": [_hex(node) for node in self.state],
            "steps": [_hex(STEP.encode(step)) for step in self.steps],
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "StandingProof":
        """Read a file's text.

        Raises: ProofRefused.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as problem:
            raise ProofRefused(f"it is not JSON: {str(problem)[:100]}") from problem
        if not isinstance(found, dict) or set(found) != set(KEYS):
            raise ProofRefused(f"it must be an object with {', '.join(KEYS)}, and nothing else")
        if found["format"] != FORMAT:
            raise ProofRefused(f"its format is {str(found['format'])[:40]!r}, this program reads {FORMAT}")
        try:
            return cls(
                _bytes(found["genesis"], "genesis"),
                PROOF.decode(_bytes(found["update"], "update")),
                _listed(found["state"], "state", MAX_NODES),
                [STEP.decode(step) for step in _listed(found["steps"], "steps", MAX_STEPS)],
            )
        except DecodeError as problem:
            raise ProofRefused(f"it is damaged: {str(problem)[:100]}") from problem


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof amounts to: the update, and the final block in whose trail it is."""

    update: UpdateProof
    point: TrustedPoint
    changes: int  # of voters, on the way from what was trusted


@dataclass(frozen=True, slots=True)
class Trusted:
    """What a specification says that nobody proves: the genesis, who votes on it, and checkpoints."""

    chain: str
    genesis: TrustedPoint
    checkpoints: Checkpoints

    @classmethod
    def of(cls, spec: ChainSpec, checkpoint: Checkpoint | None = None) -> "Trusted":
        """Work it out, which takes a moment; one more checkpoint may be trusted.

        Raises: SpecError, RuntimeMissing.
        """
        state = spec.state()
        at_genesis = StateAt(ZERO_HASH, View((Overlay(state, {}),), None), Roots())
        voters, set_id = Executor().grandpa_set(at_genesis)
        block = genesis_header(trie_root(state)).hash()
        return cls(spec.id, TrustedPoint(block, BlockNumber(0), set_id, voters), spec.trusted(checkpoint))


def verify(proof: StandingProof, trusted: Trusted) -> Proven:
    """Check a proof against what is trusted and nothing else.

    Raises: ProofRefused.
    """
    begin, steps = _beginning(proof, trusted)
    point, last = begin, None
    for step in steps:
        try:
            point = verify_step(point, step)
        except WarpError as problem:
            raise ProofRefused(f"a block is not proven final: {problem}") from problem
        last = step.header
    if last is None:
        raise ProofRefused("it has no final block above what is trusted")
    values = _values(last, proof.state)
    found = flaw(proof.update, values[PEAKS_KEY], values[LEAF_COUNT_KEY])
    if found is not None:
        raise ProofRefused(found)
    return Proven(proof.update, point, point.set_id - begin.set_id)


def _beginning(proof: StandingProof, trusted: Trusted) -> tuple[TrustedPoint, list[WarpStep]]:
    """Return where trust begins, the genesis or the newest checkpoint on the way, and the steps above it.

    Raises: ProofRefused.
    """
    genesis = trusted.genesis.block
    if proof.genesis != genesis:
        raise ProofRefused(
            f"it is of the chain with genesis 0x{proof.genesis.hex()[:16]}…, and that of {trusted.chain} is "
            f"0x{genesis.hex()[:16]}…: give its specification with --chain FILE; `assay up` shows where its "
            "own is, and `assay up --keep DIR` leaves it in DIR/chain.json"
        )
    top = max((step.header.number for step in proof.steps), default=0)
    passed = [each for each in trusted.checkpoints if each.number <= top]
    if not passed:
        return trusted.genesis, proof.steps
    newest = max(passed, key=lambda each: each.number)
    for at, step in enumerate(proof.steps, start=1):
        if step.header.number == newest.number and step.header.hash() == newest.hash:
            point = TrustedPoint(newest.hash, newest.number, newest.set_id, _voters(step.header))
            return point, proof.steps[at:]
    raise ProofRefused(
        f"it does not pass through #{newest.number} (0x{newest.hash.hex()[:16]}…), which the specification "
        "trusts"
    )


def _voters(header: Header) -> Authorities:
    try:
        found = voters_after(header)
    except WarpError as problem:
        raise ProofRefused(str(problem)) from problem
    if found is None:
        raise ProofRefused(f"the checkpoint #{header.number} names no voters")
    return found


def _values(header: Header, nodes: list[bytes]) -> dict[bytes, bytes | None]:
    try:
        return verify_proof(header.state_root, nodes, (PEAKS_KEY, LEAF_COUNT_KEY))
    except ProofError as problem:
        raise ProofRefused(f"the state of #{header.number} is not proven: {problem}") from problem


def _listed(value: Any, name: str, most: int) -> list[bytes]:
    if not isinstance(value, list) or len(value) > most:
        raise ProofRefused(f"{name} must be a list of at most {most}")
    return [_bytes(each, name) for each in value]


def _bytes(value: Any, name: str) -> bytes:
    if not isinstance(value, str) or value[:2] != "0x" or len(value) > MAX_HEX:
        raise ProofRefused(f"{name} must be 0x and hex digits, at most {MAX_HEX}")
    try:
        return bytes.fromhex(value[2:])
    except ValueError as problem:
        raise ProofRefused(f"{name} is not hex") from problem


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
