"""Attacks on whom a node knows: floods of addresses where nobody is, or where somebody else is."""

import time
from collections.abc import Callable

from chain.network.discovery.addresses import Address
from chain.network.discovery.records import make_record
from chain.network.messages import (
    MAX_RECORD_ADDRESSES,
    MAX_RECORDS,
    PEER_EXCHANGE,
    Channel,
    PeerExchange,
    SignedRecord,
)
from tests.e2e.enemy import Enemy, Intruder, new_key


async def eclipse(enemy: Enemy) -> None:
    """Tell of thousands of peers that do not exist, asked and unasked; some records are forged."""
    kinds = (_nowhere, _mine, _forged)

    async def one(number: int) -> None:
        make = kinds[(number + enemy.counts["entered"]) % len(kinds)]

        def heard(intruder: Intruder, channel: int, message: bytes) -> None:
            if channel == Channel.PEERS and PEER_EXCHANGE.decode(message).wants:
                _tell(enemy, intruder, make, MAX_RECORDS)

        async with enemy.enter(heard) as intruder:
            _tell(enemy, intruder, make, 1)
            await intruder.stay(min(enemy.until, time.monotonic() + 5))
            _tell(enemy, intruder, make, MAX_RECORDS)  # nobody has asked
            await intruder.stay(enemy.until)

    await enemy.again(one)


def _tell(enemy: Enemy, intruder: Intruder, make: Callable[[Enemy], list[Address]], count: int) -> None:
    records = [_record(enemy, make(enemy), is_forged=make is _forged) for _ in range(count)]
    intruder.send(Channel.PEERS, PEER_EXCHANGE.encode(PeerExchange(True, records)))
    enemy.counts["records"] += count


def _record(enemy: Enemy, addresses: list[Address], *, is_forged: bool) -> SignedRecord:
    signed = make_record(new_key(), enemy.genesis, addresses, int(time.time() * 1000)).signed
    return SignedRecord(signed.public, enemy.rng.randbytes(64), signed.record) if is_forged else signed


def _nowhere(enemy: Enemy) -> list[Address]:
    """Return addresses where nobody is."""
    numbers = (enemy.rng.randrange(1 << 16) for _ in range(MAX_RECORD_ADDRESSES))
    return [
        Address("ip4", f"11.{50 + each % 50}.{each >> 8}.{each % 254 + 1}", 30_333, None) for each in numbers
    ]


def _mine(enemy: Enemy) -> list[Address]:
    """Return addresses of the attacker, at whose ports nobody answers."""
    return [
        Address("ip4", source, 30_333, None)
        for source in enemy.rng.sample(enemy.sources, MAX_RECORD_ADDRESSES)
    ]


def _forged(enemy: Enemy) -> list[Address]:
    """Return the address of the attacked node, for a record that nobody has signed."""
    return [_place(enemy.host)]


def _place(ip: str) -> Address:
    return Address("ip4", ip, 30_333, None)
