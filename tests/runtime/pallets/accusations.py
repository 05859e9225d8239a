"""Four validators with one stake, some of whom sign twice; and everything a report of that is made of."""

from dataclasses import replace
from typing import Any

from runtime.primitives.babe import EquivocationProof, SecondaryVRF, VrfSignature, pre_digest_item
from runtime.primitives.grandpa import EquivocationProof as VoteEquivocation
from runtime.primitives.grandpa import Message, Precommit, SignedMessage, localized_payload
from runtime.primitives.header import BABE_ENGINE, Digest, Header, Seal
from runtime.primitives.membership import MembershipProof
from runtime.primitives.session import BABE_KEY, GRANDPA_KEY
from runtime.primitives.types import ZERO_HASH, Hash
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import ALICE, ASY, BOB, CAROL, DAVE, Chain, Key, call, configuration

STAKE = 4_000 * ASY
VALIDATORS = (ALICE, BOB, CAROL, DAVE)
BABE = {who.name: Key(f"{who.name}//babe") for who in VALIDATORS}
GRANDPA = {who.name: Key(f"{who.name}//grandpa") for who in VALIDATORS}
SESSION = 30
"""slots"""


def network(**staking: Any) -> Chain:
    """Return a chain with the four at block 1."""
    config = configuration()
    config["session"] = {
        "keys": [
            [text(who), {"babe": text(BABE[who.name]), "grandpa": text(GRANDPA[who.name])}]
            for who in VALIDATORS
        ]
    }
    stakers = [*config["staking"]["stakers"], *([text(who), STAKE] for who in VALIDATORS)]
    config["staking"] = config["staking"] | {"stakers": stakers} | staking
    chain = Chain(config)
    chain.build()
    return chain


def text(key: Key) -> str:
    """Return a public key as a chain specification writes it."""
    return "0x" + key.account.hex()


def next_session(chain: Chain, count: int = 1) -> None:
    """Build the first block of the next session, and of the ones after."""
    for _ in range(count):
        chain.build(slot=chain.slot + SESSION)


def accused(chain: Chain, place: int = 1) -> Key:
    """Return the validator at a place; the one at 0 authors every block of the bench."""
    stash = chain.runtime.session.validator_at(place)
    return next(who for who in VALIDATORS if who.account == stash)


def sealed(signer: Key, slot: int, what: bytes, index: int = 1) -> Header:
    """Return a header for a slot with a seal; `what` makes it another block."""
    digest = Digest([pre_digest_item(SecondaryVRF(index, slot, VrfSignature(bytes(32), bytes(64))))])
    header = Header(ZERO_HASH, 7, Hash(what.ljust(32, b"\0")), ZERO_HASH, digest)
    return header.sealed(Seal(BABE_ENGINE, signer.sign(header.hash())))


def double_seal(who: Key, slot: int) -> EquivocationProof:
    """Return the proof that a validator sealed two blocks."""
    signer = BABE[who.name]
    return EquivocationProof(signer.account, slot, sealed(signer, slot, b"a"), sealed(signer, slot, b"b"))


def vote(who: Key, message: Message, round_: int, set_id: int) -> SignedMessage:
    """Return a signed vote."""
    signer = GRANDPA[who.name]
    return SignedMessage(message, signer.sign(localized_payload(message, round_, set_id)), signer.account)


def double_vote(
    who: Key, round_: int = 3, set_id: int = 0, kind: Any = Precommit, number: int = 9
) -> VoteEquivocation:
    """Return the proof that a voter voted for two blocks."""
    votes = [vote(who, kind(Hash(bytes([at]) * 32), number), round_, set_id) for at in (1, 2)]
    return VoteEquivocation.of(set_id, round_, *votes)


def ownership(chain: Chain, proof: EquivocationProof | VoteEquivocation) -> MembershipProof:
    """Return whose the key of a proof is in the current session."""
    if isinstance(proof, EquivocationProof):
        found = chain.runtime.historical.prove(BABE_KEY, proof.offender)
    else:
        found = chain.runtime.historical.prove(GRANDPA_KEY, proof.equivocation.identity)
    assert found is not None
    return found


def report(
    proof: EquivocationProof | VoteEquivocation, owned: MembershipProof, name: str = "report_equivocation"
) -> Any:
    """Return the call that reports."""
    return call("Babe" if isinstance(proof, EquivocationProof) else "Grandpa", name, proof, owned)


def unsigned(proof: EquivocationProof | VoteEquivocation, owned: MembershipProof) -> bytes:
    """Return the report that a node makes."""
    return EXECUTIVE.format.bare(report(proof, owned, "report_equivocation_unsigned"))


def other(proof: EquivocationProof, **changes: Any) -> EquivocationProof:
    """Return a proof with something else in it."""
    return replace(proof, **changes)
