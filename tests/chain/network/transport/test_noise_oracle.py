"""Our Noise against PyPI's noiseprotocol: every byte of a handshake and of what follows it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from chain.network.transport.noise import PROTOCOL, Handshake

Secrets = tuple[bytes, bytes]
SECRETS = st.tuples(*[st.binary(min_size=32, max_size=32)] * 2)
"""static, ephemeral"""
PAYLOADS = st.binary(max_size=200)


def theirs(*, initiator: bool, static: bytes, ephemeral: bytes, prologue: bytes) -> NoiseConnection:
    """Return one side as the other implementation plays it."""
    side = NoiseConnection.from_name(PROTOCOL)
    side.set_as_initiator() if initiator else side.set_as_responder()
    side.set_prologue(prologue)
    side.set_keypair_from_private_bytes(Keypair.STATIC, static)
    side.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    side.start_handshake()
    return side


@pytest.mark.filterwarnings("ignore:One of ephemeral keypairs")
@settings(max_examples=25)
@given(st.booleans(), SECRETS, SECRETS, PAYLOADS, st.data())
def test_we_and_another_implementation_understand_each_other(
    initiator: bool,
    mine: Secrets,
    other: Secrets,
    prologue: bytes,
    data: st.DataObject,
) -> None:
    ours = Handshake(initiator=initiator, static=mine[0], ephemeral=mine[1], prologue=prologue)
    foreign = theirs(initiator=not initiator, static=other[0], ephemeral=other[1], prologue=prologue)
    twin = theirs(initiator=initiator, static=mine[0], ephemeral=mine[1], prologue=prologue)
    while not ours.is_done:
        payload = data.draw(PAYLOADS)
        if ours.writes_next:
            message = ours.write(payload)
            assert message == twin.write_message(payload)
            assert foreign.read_message(message) == payload
        else:
            message = bytes(foreign.write_message(payload))
            assert ours.read(message) == payload == twin.read_message(message)
    channel = ours.channel()
    assert channel.transcript == foreign.get_handshake_hash()
    for _ in range(3):
        payload = data.draw(PAYLOADS)
        assert foreign.decrypt(channel.sends.encrypt(payload)) == payload
        assert channel.receives.decrypt(foreign.encrypt(payload)) == payload
        if data.draw(st.booleans()):
            channel.sends.rekey()
            channel.receives.rekey()
            foreign.rekey_inbound_cipher()
            foreign.rekey_outbound_cipher()
