import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.network.transport.noise import Channel, Handshake, NoiseError

VECTORS = Path(__file__).parents[3] / "vectors" / "noise.json"
CASES = json.loads(VECTORS.read_text())["cases"]
SECRETS = st.binary(min_size=32, max_size=32)


def sides(case: dict[str, Any]) -> tuple[Handshake, Handshake]:
    """Return both ends of a handshake with the keys of a vector."""

    def side(name: str) -> Handshake:
        static, ephemeral = (bytes.fromhex(case[f"{name}_{kind}"]) for kind in ("static", "ephemeral"))
        prologue = bytes.fromhex(case["prologue"])
        return Handshake(initiator=name == "initiator", static=static, ephemeral=ephemeral, prologue=prologue)

    return side("initiator"), side("responder")


def channels(initiator: Handshake, responder: Handshake) -> tuple[Channel, Channel]:
    """Play a handshake without payloads."""
    responder.read(initiator.write())
    initiator.read(responder.write())
    responder.read(initiator.write())
    return initiator.channel(), responder.channel()


@pytest.mark.parametrize("case", CASES)
def test_every_byte_is_that_of_another_implementation(case: dict[str, Any]) -> None:
    initiator, responder = sides(case)
    handshake, transport = case["messages"][:3], case["messages"][3:]
    turns = [(initiator, responder), (responder, initiator), (initiator, responder)]
    for (writer, reader), message in zip(turns, handshake, strict=True):
        written = writer.write(bytes.fromhex(message["payload"]))
        assert written.hex() == message["ciphertext"]
        assert reader.read(written).hex() == message["payload"]
    one, other = initiator.channel(), responder.channel()
    assert one.transcript.hex() == other.transcript.hex() == case["hash"]
    for turn, message in enumerate(transport):
        writer, reader = (one, other) if turn % 2 == 0 else (other, one)
        sealed = writer.sends.encrypt(bytes.fromhex(message["payload"]))
        assert sealed.hex() == message["ciphertext"]
        assert reader.receives.decrypt(sealed).hex() == message["payload"]
    one.sends.rekey()
    assert one.sends.encrypt(b"rekeyed").hex() == case["after_rekey"]


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    initiator, responder = sides(CASES[1])
    turn = data.draw(st.integers(1, 2))  # the first message carries one key in the clear
    responder.read(initiator.write())
    writer, reader = (responder, initiator) if turn == 1 else (initiator, responder)
    if turn == 2:
        initiator.read(responder.write())
    message = bytearray(writer.write(b"payload"))
    message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoiseError):
        reader.read(bytes(message))


def test_another_prologue_fails_at_the_second_message() -> None:
    initiator, _ = sides(CASES[1])
    _, responder = sides({**CASES[1], "prologue": "00"})
    responder.read(initiator.write())
    with pytest.raises(NoiseError):
        initiator.read(responder.write())


@given(SECRETS, SECRETS, SECRETS, SECRETS, st.lists(st.binary(max_size=300), max_size=10))
def test_messages_come_through_in_order_only(
    one: bytes, two: bytes, three: bytes, four: bytes, messages: list[bytes]
) -> None:
    sender, receiver = channels(
        Handshake(initiator=True, static=one, ephemeral=two, prologue=b""),
        Handshake(initiator=False, static=three, ephemeral=four, prologue=b""),
    )
    sealed = [sender.sends.encrypt(message) for message in messages]
    for early, late in pairwise(sealed):
        with pytest.raises(NoiseError):
            receiver.receives.decrypt(late)
        receiver.receives.decrypt(early)
    assert sender.transcript == receiver.transcript


def test_a_key_of_low_order_is_refused() -> None:
    _, responder = sides(CASES[0])
    responder.read(bytes(32))
    with pytest.raises(NoiseError, match="low order"):
        responder.write()


@pytest.mark.parametrize("size", [0, 31])
def test_a_short_message_is_refused(size: int) -> None:
    _, responder = sides(CASES[0])
    with pytest.raises(NoiseError, match="early"):
        responder.read(bytes(size))
