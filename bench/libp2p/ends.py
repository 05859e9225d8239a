"""Both ends of a py-libp2p connection to measure: TCP, Noise, yamux; one stream for everything.

    python ends.py serve                 prints its address and its peer id
    python ends.py measure ADDRESS PEER  prints the figures of bench/transport.py as JSON

Runs in an environment of its own (`make libp2p`): libp2p is made for trio.

message = u32 length | kind u8 | body
"""

import json
import logging
import os
import sys
import time
from statistics import median

import trio
from libp2p import create_yamux_muxer_option, generate_new_ed25519_identity, new_host
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from multiaddr import Multiaddr

NAME = TProtocol("/assay/bench/1")
LOAD, ECHO, COUNT = 0, 1, 2
LARGE, SMALL, ASKED = 64 << 10, 1 << 10, 200
MOST_SECONDS = 8.0
"""of load of one size: it is far slower than the others"""
BATCH = {LARGE: 64, SMALL: 1_024}
"""messages until the other end is asked how many have come"""
CONNECTS = 5
TRIPS = 300


def host():
    key = generate_new_ed25519_identity()
    noise = Transport(key, noise_privkey=create_new_key_pair().private_key)
    return new_host(key_pair=key, sec_opt={PROTOCOL_ID: noise}, muxer_opt=create_yamux_muxer_option())


class Messages:
    """Messages over a stream, which has no bounds between them."""

    def __init__(self, stream):
        self._stream = stream
        self._buffer = bytearray()

    async def send(self, kind, body):
        await self._stream.write((len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body)

    async def receive(self):
        size = int.from_bytes(await self._exactly(4), "big")
        message = await self._exactly(size)
        return message[0], message[1:]

    async def _exactly(self, size):
        while len(self._buffer) < size:
            more = await self._stream.read(64 << 10)
            if not more:
                raise EOFError
            self._buffer += more
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


async def answer(stream):
    messages, count = Messages(stream), 0
    while True:
        kind, body = await messages.receive()
        if kind == LOAD:
            count += 1
        elif kind == ECHO:
            await messages.send(ECHO, body)
        else:
            await messages.send(COUNT, str(count).encode())
            count = 0


async def handle(stream):
    try:
        await answer(stream)
    except Exception:  # noqa: BLE001 - the other end is gone, which libp2p says in many ways
        await stream.reset()


async def serve():
    made = host()
    made.set_stream_handler(NAME, handle)
    async with made.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        port = made.get_addrs()[0].value_for_protocol("tcp")
        print(f"/ip4/127.0.0.1/tcp/{port}", made.get_id(), flush=True)
        await trio.sleep_forever()


async def connected(address, peer):
    made = host()
    return made, PeerInfo(ID.from_string(peer), [Multiaddr(address)])


async def connect_ms(address, peer):
    made, there = await connected(address, peer)
    async with made.run(listen_addrs=[]):
        began = time.perf_counter()
        await made.connect(there)
        messages = Messages(await made.new_stream(there.peer_id, [NAME]))
        await messages.send(ECHO, bytes(ASKED))
        await messages.receive()
        return (time.perf_counter() - began) * 1e3


async def per_second(messages, size):
    body, sent, began = os.urandom(size), 0, time.perf_counter()
    while time.perf_counter() - began < MOST_SECONDS:
        for _ in range(BATCH[size]):
            await messages.send(LOAD, body)
        sent += BATCH[size]
        await messages.send(COUNT, b"")
        assert int((await messages.receive())[1]) == BATCH[size]
    return sent / (time.perf_counter() - began)


async def round_trip(messages):
    body, began = os.urandom(ASKED), time.perf_counter()
    await messages.send(ECHO, body)
    assert (await messages.receive())[1] == body
    return time.perf_counter() - began


async def measure(address, peer):
    connects = [await connect_ms(address, peer) for _ in range(CONNECTS)]
    made, there = await connected(address, peer)
    async with made.run(listen_addrs=[]):
        await made.connect(there)
        messages = Messages(await made.new_stream(there.peer_id, [NAME]))
        large = await per_second(messages, LARGE)
        small = await per_second(messages, SMALL)
        trips = [await round_trip(messages) for _ in range(TRIPS)]
    figures = {
        "mb_per_s_64_kib": large * LARGE / 1e6,
        "messages_per_s_1_kib": small,
        "round_trip_us_200_b": median(trips) * 1e6,
        "connect_ms": median(connects),
    }
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))


logging.disable(logging.CRITICAL)
if sys.argv[1] == "serve":
    trio.run(serve)
else:
    trio.run(measure, *sys.argv[2:4])
