"""Gossip messages are Substrate's byte for byte: live ones of public networks, and votes of known keys."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    Forged,
    GossipMessage,
    Neighbor,
    NeighborPacket,
    SignedPrevote,
    Vote,
    check_signatures,
)
from chain.keys.pair import Keypair
from runtime.primitives.grandpa import (
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "grandpa.json").read_text())
KINDS: dict[str, type[Prevote] | type[Precommit] | type[PrimaryPropose]] = {
    "Prevote": Prevote,
    "Precommit": Precommit,
    "PrimaryPropose": PrimaryPropose,
}
ALICE = Keypair.from_suri("//Alice", "ed25519")
BLOCK = Hash(b"\xc0" * 32), 77


def signed(message: Message, round_: int = 9, set_id: int = 3) -> SignedMessage:
    return SignedMessage(message, ALICE.sign(localized_payload(message, round_, set_id)), ALICE.public)


def test_a_live_commit_decodes_verifies_and_encodes_again() -> None:
    live = VECTORS["live_commit"]
    message = GOSSIP_MESSAGE.decode(b"\x01" + bytes.fromhex(live["hex"]))
    assert isinstance(message, CommitMessage)
    assert (message.round, message.set_id) == (live["round"], live["set_id"]) == (3669, 3490)
    check_signatures(message)
    commit = message.commit()
    assert commit is not None
    assert len(commit.precommits) == live["precommits"] == 7
    assert CommitMessage.of(message.round, message.set_id, commit) == message
    assert GOSSIP_MESSAGE.encode(message).hex() == "01" + live["hex"]
    with pytest.raises(Forged, match="in round 3670"):
        check_signatures(replace(message, round=3670))


@pytest.mark.parametrize("vector", VECTORS["votes"], ids=lambda vector: str(vector["kind"]))
def test_votes_of_a_known_key(vector: dict[str, str]) -> None:
    pair = Keypair.from_seed(bytes.fromhex(vector["secret_seed"]), "ed25519")
    message = KINDS[vector["kind"]](Hash(bytes.fromhex(vector["target_hash"])), int(vector["target_number"]))
    round_, set_id = int(vector["round"]), int(vector["set_id"])
    signature = pair.sign(localized_payload(message, round_, set_id))
    vote = Vote(round_, set_id, SignedMessage(message, signature, pair.public))
    assert GOSSIP_MESSAGE.encode(vote).hex() == vector["gossip"]
    assert GOSSIP_MESSAGE.decode(bytes.fromhex(vector["gossip"])) == vote
    check_signatures(vote)


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        (Neighbor(NeighborPacket(9, 3, 77)), VECTORS["neighbor"]["hex"]),
        (CatchUpRequest(9, 3), VECTORS["catch_up_request"]["hex"]),
    ],
)
def test_where_a_voter_stands_and_what_it_asks_for(message: GossipMessage, encoded: str) -> None:
    assert GOSSIP_MESSAGE.encode(message).hex() == encoded
    assert GOSSIP_MESSAGE.decode(bytes.fromhex(encoded)) == message


def test_a_catch_up_names_the_set_first_and_the_base_last() -> None:
    prevote, precommit = signed(Prevote(*BLOCK)), signed(Precommit(*BLOCK))
    message = CatchUp(
        3,
        9,
        [SignedPrevote(Prevote(*BLOCK), prevote.signature, ALICE.public)],
        [SignedPrecommit(Precommit(*BLOCK), precommit.signature, ALICE.public)],
        *BLOCK,
    )
    block = "c0" * 32 + "4d000000"
    assert GOSSIP_MESSAGE.encode(message).hex() == "".join(
        [
            "04" + "0300000000000000" + "0900000000000000",
            "04" + block + prevote.signature.hex() + ALICE.public.hex(),
            "04" + block + precommit.signature.hex() + ALICE.public.hex(),
            block,
        ]
    )
    assert GOSSIP_MESSAGE.decode(GOSSIP_MESSAGE.encode(message)) == message
    assert message.votes() == [prevote, precommit]
    check_signatures(message)


def test_a_forged_signature_anywhere_is_found() -> None:
    good, bad = signed(Prevote(*BLOCK)), signed(Prevote(*BLOCK), round_=8)
    with pytest.raises(Forged, match=f"0x{ALICE.public.hex()} did not sign"):
        check_signatures(Vote(9, 3, bad))
    prevotes = [SignedPrevote(Prevote(*BLOCK), each.signature, each.id) for each in (good, bad)]
    with pytest.raises(Forged):
        check_signatures(CatchUp(3, 9, prevotes, [], *BLOCK))


def test_a_commit_whose_lists_differ_in_length_is_none() -> None:
    message = GOSSIP_MESSAGE.decode(b"\x01" + bytes.fromhex(VECTORS["live_commit"]["hex"]))
    assert isinstance(message, CommitMessage)
    torn = replace(message, message=replace(message.message, auth_data=message.message.auth_data[1:]))
    assert torn.commit() is None


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_are_a_message(data: bytes) -> None:
    try:
        message = GOSSIP_MESSAGE.decode(data)
    except DecodeError:
        return
    assert GOSSIP_MESSAGE.encode(message) == data
