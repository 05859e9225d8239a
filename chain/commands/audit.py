"""Prove that an update is in the trail of a chain, in a file that anybody can check without a node.

assay audit prove 1 12 5FpjvV...Vgo6 --out update.json    subnet 1, round 12, the miner's hotkey or its uid
assay audit prove 34                                      the same by its number in the trail, its leaf
assay audit prove 0x1f2e3d4c --netuid 1                   the newest with this digest; 8 digits will do
assay audit verify update.json --chain net/chain.json     needs the chain's specification and nothing else
assay audit replay --netuid 1                             derives every model again from the payloads
assay audit scores --netuid 1                             computes every published score again
assay audit challenge 1 12 0 5 --key //Miner1             has what judge 0 measured of uid 5 measured again

The file leads from the genesis through every change of voters to a final block, from its state root to the
peaks of the trail, and from there to the update. Where the specification or --checkpoint names a block as
`assay checkpoint` prints it, trust begins there; proofs that begin there are shorter.

`assay up` makes a chain of its own: its screen shows where the specification is until it ends, and
`assay up --keep net` leaves it in net/chain.json. The chains `local` and `dev` are those of
`assay node --chain local` and `assay node --dev`.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.checkpoints import Checkpoint, CheckpointError
from chain.commands import challenge, database
from chain.commands.failure import USAGE, Failure
from chain.commands.talk import (
    LAST_NETUID,
    LAST_ROUND,
    Ask,
    address,
    check_netuid,
    describe_node,
    reading,
    talk,
)
from chain.common.block_data import WarpStep
from chain.common.errors import RuntimeMissing
from chain.spec import SpecError
from chain.update_proof import MAX_FILE, MAX_STEPS, STEP, ProofRefused, Proven, StandingProof, Trusted, verify
from runtime.primitives import ss58
from runtime.primitives.header import Header
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import AccountId, Hash
from runtime.trail_api import LEAF_COUNT_KEY, PEAKS_KEY, Lineage, RoundInfo, RoundUpdate, UpdateProof

LAST_LEAF = (1 << 64) - 1
STANDARD_INPUT = "-"
_NUMBER = re.compile(r"\d{1,20}")
_DIGEST = re.compile(r"0x([0-9a-f]{8,64})…?")  # as screens and logs shorten it
_LINEAGE = codec(Lineage)
_ROUND = codec(RoundInfo | None)
_PROOF = codec(UpdateProof | None)


def describe(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Add the verbs and their flags, and return where other rooms' verbs are added."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    prove = verbs.add_parser("prove", help="write a proof of an update")
    prove.add_argument(
        "update",
        metavar="UPDATE",
        nargs="+",
        help="NETUID ROUND MINER, a hotkey or uid; or its number in the trail; or 0x and at least 8 digits "
        "of its digest",
    )
    _describe_checkpoint(prove, "begin at this block instead of the genesis")
    prove.add_argument("--out", type=Path, metavar="FILE", help="file to write [standard output]")
    describe_node(prove)
    doubt = verbs.add_parser("challenge", help="have other judges measure again what one measured")
    challenge.describe(doubt)
    check = verbs.add_parser("verify", help="check such a file, without a node")
    check.add_argument("file", metavar="FILE", help="proof; - is standard input")
    check.add_argument(
        "--chain", metavar="ID|FILE", default="local",
        help="specification of the chain it is of; of `assay up`, the file on its screen [local]",
    )  # fmt: skip
    _describe_checkpoint(check, "trust this block, too")
    check.add_argument("--json", action="store_true", help="print JSON")
    return verbs


def _describe_checkpoint(verb: argparse.ArgumentParser, meaning: str) -> None:
    verb.add_argument("--checkpoint", metavar="NUMBER:HASH:SETID", help=meaning)


def _checkpoint(parsed: argparse.Namespace) -> Checkpoint | None:
    """Return what --checkpoint names.

    Raises: Failure.
    """
    try:
        return None if parsed.checkpoint is None else Checkpoint.parse(parsed.checkpoint)
    except CheckpointError as problem:
        raise Failure(f"--checkpoint: {problem}", USAGE) from problem


def run(parsed: argparse.Namespace) -> int:
    """Do what the verb says."""
    return {"prove": _prove, "verify": _verify, "challenge": challenge.run}[parsed.verb](parsed)


# Proving.


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an update is found that is not named by its leaf."""

    netuid: int
    round: int
    miner: str  # address or uid


@dataclass(frozen=True, slots=True)
class _Digest:
    """The bytes of an update, by how their hash begins."""

    netuid: int
    digits: str  # hexadecimal


def _prove(parsed: argparse.Namespace) -> int:
    check_netuid(parsed.netuid)
    wanted = _update(parsed.update, parsed.netuid)
    if parsed.out is not None:
        _ensure_writable(parsed.out)
    found = talk(_asked(parsed.url, wanted, _checkpoint(parsed)))
    if parsed.out is None:
        print(found.to_json(), end="")
        return 0
    text = found.to_json()
    parsed.out.write_text(text)
    block = found.steps[-1].header
    told = {"file": str(parsed.out), "leaf": found.update.leaf, "block": block.number, "bytes": len(text)}
    line = (
        f"leaf {found.update.leaf} of {found.update.leaf_count}, proven in block #{block.number} by "
        f"{len(found.steps)} final blocks: {parsed.out}, {len(text):,} bytes"
    )
    print(json.dumps(told) if parsed.json else line)
    return 0


def _ensure_writable(path: Path) -> None:
    """Refuse a place for the proof before there is one.

    Raises: Failure.
    """
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Failure(
            f"--out {path} cannot be written: name a file in a directory that you may write to", USAGE
        )


def _update(words: Sequence[str], netuid: int) -> int | _Place | _Digest:
    """Return what names an update; a digest is one of the subnet's.

    Raises: Failure.
    """
    if len(words) == 1:
        digest = _DIGEST.fullmatch(words[0].lower())
        if digest:
            return _Digest(netuid, digest[1])
        if _NUMBER.fullmatch(words[0]):
            return _number("UPDATE", words[0], LAST_LEAF)
    if len(words) != 3:
        found = f"is {words[0]}" if len(words) == 1 else f"has {len(words)} words"
        raise Failure(
            f"UPDATE {found}: give NETUID ROUND MINER, its number in the trail, or 0x and at least 8 digits "
            "of its digest", USAGE,
        )  # fmt: skip
    netuid, round = _number("NETUID", words[0], LAST_NETUID), _number("ROUND", words[1], LAST_ROUND)
    miner = words[2]
    return _Place(netuid, round, miner if _NUMBER.fullmatch(miner) else address(miner, "MINER"))


def _number(name: str, word: str, most: int) -> int:
    """Return what a word says.

    Raises: Failure.
    """
    if not _NUMBER.fullmatch(word) or int(word) > most:
        raise Failure(f"{name} is {word}, must be 0 to {most}", USAGE)
    return int(word)


async def _asked(url: str, wanted: int | _Place | _Digest, checkpoint: Checkpoint | None) -> StandingProof:
    """Gather everything a proof needs from one node.

    Raises: Failure, NodeFailure.
    """
    async with reading(url) as ask:
        genesis = Hash(_unhex(await ask("chain_getBlockHash", 0)))
        if checkpoint is None:
            steps = await _steps(ask, genesis, "above the genesis")
        else:
            steps = await _steps(ask, await _below(ask, checkpoint), f"from block #{checkpoint.number} on")
        at = _hash(steps[-1].header)
        leaf = wanted if isinstance(wanted, int) else await _leaf(ask, wanted, steps[-1].header)
        place = "0x" + leaf.to_bytes(8, "little").hex()
        update = _answer(_PROOF, await ask("state_call", "ModelUpdatesApi_proof", place, at))
        if update is None:
            raise Failure(f"the trail has no leaf {leaf} by the final block #{steps[-1].header.number}")
        keys = ["0x" + key.hex() for key in (PEAKS_KEY, LEAF_COUNT_KEY)]
        nodes = (await ask("state_getReadProof", keys, at))["proof"]
        return StandingProof(genesis, update, [_unhex(node) for node in nodes], steps)


async def _leaf(ask: Ask, named: _Place | _Digest, final: Header) -> int:
    """Return the leaf of an update.

    Raises: Failure.
    """
    if isinstance(named, _Digest):
        return await _leaf_of(ask, named, final)
    info = await _round(ask, named.netuid, named.round, final)
    if info is None:
        raise Failure(
            f"subnet {named.netuid} has had no round {named.round} by the final block #{final.number}: "
            f"see `assay rounds --netuid {named.netuid}`"
        )
    return int(_revealed(info, named.miner).update.leaf)


async def _leaf_of(ask: Ask, named: _Digest, final: Header) -> int:
    """Return the leaf of the newest update with a digest, looking at one round after the other.

    Raises: Failure.
    """
    asked = _call(named.netuid, (LAST_ROUND, 4), (LAST_ROUND, 4))
    newest = _answer(_LINEAGE, await ask("state_call", "TrainingApi_lineage", asked, _hash(final))).last
    for number in range(newest, 0, -1):
        info = await _round(ask, named.netuid, number, final)
        updates = info.updates if info is not None else []
        found = [each for each in updates if each.update.digest.hex().startswith(named.digits)]
        if len(found) == 1:
            return int(found[0].update.leaf)
        if found:
            listed = ", ".join(f"{named.netuid} {number} {each.uid}" for each in found[:8])
            raise Failure(f"{len(found)} updates begin with 0x{named.digits}: name one as {listed}")
    raise Failure(
        f"no update of subnet {named.netuid} begins with 0x{named.digits} by the final block "
        f"#{final.number}: see `assay rounds --netuid {named.netuid} --json`"
    )


async def _round(ask: Ask, netuid: int, number: int, final: Header) -> RoundInfo | None:
    asked = _call(netuid, (number, 4))
    found: RoundInfo | None = _answer(
        _ROUND, await ask("state_call", "TrainingApi_round", asked, _hash(final))
    )
    return found


def _call(netuid: int, *sized: tuple[int, int]) -> str:
    """Return the arguments of a runtime API: a subnet, and integers of so many bytes."""
    return "0x" + b"".join(number.to_bytes(size, "little") for number, size in ((netuid, 2), *sized)).hex()


def _hash(header: Header) -> str:
    return "0x" + header.hash().hex()


async def _below(ask: Ask, checkpoint: Checkpoint) -> Hash:
    """Return the parent of a checkpoint, so that a proof begins with it.

    Raises: Failure.
    """
    header = await ask("chain_getHeader", "0x" + checkpoint.hash.hex())
    if header is None or int(header["number"], 16) != checkpoint.number:
        raise Failure(f"the node has no block {checkpoint}: give a checkpoint of its chain")
    return Hash(_unhex(header["parentHash"]))


async def _steps(ask: Ask, begin: Hash, since: str) -> list[WarpStep]:
    """Return every change of voters above a block with its votes, last the newest block with votes.

    Raises: Failure, which says `since` when there is nothing.
    """
    steps: list[WarpStep] = []
    is_finished = False
    while not is_finished and len(steps) < MAX_STEPS:
        answer = await ask("grandpa_warpProof", "0x" + begin.hex())
        more = [_answer(STEP, step) for step in answer["steps"]]
        steps, is_finished = [*steps, *more], answer["isFinished"]
        if not more:
            break
        begin = steps[-1].header.hash()
    if not steps:
        raise Failure(f"nothing is final {since} yet: wait for a block with votes, then try again")
    return steps


def _revealed(info: RoundInfo, miner: str) -> RoundUpdate:
    """Return what a miner revealed, by hotkey or uid.

    Raises: Failure.
    """
    for each in info.updates:
        if miner in (ss58.encode(each.update.miner), str(each.uid)):
            return each
    listed = ", ".join(f"uid {each.uid} {ss58.encode(each.update.miner)}" for each in info.updates[:8])
    raise Failure(f"{miner} revealed no update in round {info.round}; there are: {listed or 'none'}")


def _answer(reader: Any, text: str) -> Any:
    """Decode what a node answers.

    Raises: Failure.
    """
    try:
        return reader.decode(_unhex(text))
    except DecodeError as problem:
        raise Failure(
            f"the node's runtime answers in another form ({problem}): use the program of its version"
        ) from problem


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


# Verifying.


def _verify(parsed: argparse.Namespace) -> int:
    spec = database.spec_of(parsed)
    name = "standard input" if parsed.file == STANDARD_INPUT else parsed.file
    try:
        trusted = Trusted.of(spec, _checkpoint(parsed))
        raw = sys.stdin.buffer.read(MAX_FILE + 1) if parsed.file == STANDARD_INPUT else _read(Path(name))
        proven = verify(StandingProof.from_json(_decoded(raw)), trusted)
    except ProofRefused as problem:
        raise Failure(f"{name} proves nothing: {problem}") from problem
    except (SpecError, RuntimeMissing) as problem:
        raise Failure(str(problem), USAGE) from problem
    print(json.dumps(_told(proven)) if parsed.json else _text(proven, spec.name))
    return 0


def _read(path: Path) -> bytes:
    """Return a file, of one that is too long a part that shows it.

    Raises: Failure.
    """
    try:
        if not path.is_file():
            raise Failure(f"{path} is no file: give what `assay audit prove --out` wrote", USAGE)
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as problem:
        raise Failure(f"{path} cannot be read: {problem.strerror}", USAGE) from problem


def _decoded(raw: bytes) -> str:
    """Return the text of a file that may be anything.

    Raises: ProofRefused.
    """
    if len(raw) > MAX_FILE:
        raise ProofRefused(f"it is longer than {MAX_FILE >> 20} MiB")
    try:
        return raw.decode()
    except UnicodeDecodeError as problem:
        raise ProofRefused("it is not UTF-8 text") from problem


def _told(proven: Proven) -> dict[str, Any]:
    proof, update = proven.update, proven.update.update
    return {
        "netuid": proof.netuid,
        "round": proof.round,
        "miner": ss58.encode(AccountId(update.miner)),
        "digest": "0x" + update.digest.hex(),
        "length": update.length,
        "baseRoot": "0x" + update.base_root.hex(),
        "efDigest": "0x" + update.ef_digest.hex(),
        "commitHeight": update.commit_height,
        "commitIndex": update.commit_index,
        "leaf": proof.leaf,
        "leafCount": proof.leaf_count,
        "block": {"number": proven.point.number, "hash": "0x" + proven.point.block.hex()},
        "setId": proven.point.set_id,
        "changesOfVoters": proven.changes,
    }


def _text(proven: Proven, chain: str) -> str:
    found, point = _told(proven), proven.point
    return "\n".join(
        (
            f"proven  {found['miner']} revealed in round {found['round']} of subnet {found['netuid']}:",
            f"  payload     {found['digest']}, {found['length']:,} bytes",
            f"  base model  {found['baseRoot']}",
            f"  committed   #{found['commitHeight']}, number {found['commitIndex'] + 1} of the round",
            f"  trail       leaf {found['leaf']} of {found['leafCount']}",
            f"  final       #{point.number} 0x{point.block.hex()}",
            f"  voters      set {point.set_id} of {chain}, {proven.changes} changes after what is trusted",
        )
    )
