import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.keys.node import peer_id
from chain.network.transport.bans import (
    BANS_FILE,
    FIRST_BAN,
    FORGIVEN_AFTER,
    LAST_BAN,
    MAX_BANS,
    REFUSED,
    SAVE_EVERY,
    SUSPECTED,
    Bans,
)
from tests.chain.network.hands import Hands
from tests.sim.env import Files, Life, SimDisk

PEER, OTHER = peer_id(bytes(32)), peer_id(bytes([1]) * 32)
IP = "203.0.113.7"


def bans_on(files: Files, hands: Hands) -> Bans:
    return Bans(SimDisk(files, Life()), hands)


def test_a_ban_is_of_an_identity_and_casts_suspicion_on_its_address() -> None:
    hands = Hands()
    bans = bans_on(Files(), hands)
    assert bans.add(PEER, IP) == FIRST_BAN
    assert bans.has_peer(PEER)
    assert (bans.refuses(IP), bans.suspects(IP)) == (True, True)
    assert not bans.has_peer(OTHER)
    assert (bans.refuses("203.0.113.8"), bans.suspects("203.0.113.8")) == (False, False)
    assert (bans.total, bans.current()) == (1, 2)
    hands.seconds += REFUSED
    assert (bans.refuses(IP), bans.suspects(IP)) == (False, True)
    hands.seconds += FIRST_BAN - REFUSED
    assert not bans.has_peer(PEER)
    assert not bans.suspects(IP)
    assert (bans.total, bans.current()) == (1, 0)


def test_each_further_ban_is_twice_as_long_up_to_a_day() -> None:
    hands = Hands()
    bans, lasting = bans_on(Files(), hands), []
    for _ in range(10):
        lasting.append(bans.add(PEER, ""))
        hands.seconds += lasting[-1]
    assert lasting == [600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 76_800, 86_400, 86_400]
    hands.seconds += FORGIVEN_AFTER - 1
    assert bans.add(PEER, "") == LAST_BAN
    hands.seconds += LAST_BAN + FORGIVEN_AFTER
    assert bans.add(PEER, "") == FIRST_BAN


def test_only_the_same_identity_is_banned_for_longer() -> None:
    hands = Hands()
    bans = bans_on(Files(), hands)
    for _ in range(3):
        bans.add(PEER, IP)
    assert bans.add(OTHER, IP) == FIRST_BAN
    hands.seconds += SUSPECTED
    assert (bans.has_peer(PEER), bans.has_peer(OTHER), bans.suspects(IP)) == (True, False, False)


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.8.8", "::1", ""])
def test_loopback_addresses_are_never_suspected(ip: str) -> None:
    bans = bans_on(Files(), Hands())
    bans.add(PEER, ip)
    assert bans.has_peer(PEER)
    assert not bans.suspects(ip or IP)


def test_an_ip6_household_is_one_address() -> None:
    bans = bans_on(Files(), Hands())
    bans.add(PEER, "2001:db8:1:2::3")
    assert bans.suspects("2001:db8:1:2:ffff::")
    assert not bans.suspects("2001:db8:1:3::3")


def test_bans_outlast_a_restart_and_go_on_doubling() -> None:
    files, hands = Files(), Hands()
    bans_on(files, hands).add(PEER, IP)
    again = bans_on(files, hands)
    assert again.has_peer(PEER)
    assert again.suspects(IP)
    hands.seconds += FIRST_BAN
    assert again.add(PEER, IP) == 2 * FIRST_BAN


def test_a_pardon_is_of_the_identity_and_lasts() -> None:
    files, hands = Files(), Hands()
    bans = bans_on(files, hands)
    bans.add(PEER, IP)
    hands.seconds += SAVE_EVERY
    bans.pardon(PEER)
    for each in (bans, bans_on(files, hands)):
        assert not each.has_peer(PEER)
        assert each.suspects(IP)


def test_a_storm_of_bans_is_written_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    files, hands, life = Files(), Hands(), Life()
    bans = Bans(SimDisk(files, life), hands)
    for number in range(100):
        bans.add(peer_id(bytes([number]) * 32), "")
        hands.seconds += 0.1
    assert life.writes <= 10 / SAVE_EVERY + 1
    bans.save(at_once=True)
    assert bans_on(files, hands).current() == 100


@settings(max_examples=8)
@given(st.integers(0, 1 << 32))
def test_they_are_bounded_and_those_that_end_last_are_kept(seed: int) -> None:
    rng, hands, files = random.Random(seed), Hands(), Files()
    bans = bans_on(files, hands)
    for _ in range(3):
        bans.add(PEER, "")
    for _ in range(MAX_BANS + 500):
        bans.add(f"{rng.getrandbits(64)}", "")
        hands.seconds += 0.01
    assert len(bans._bans) <= MAX_BANS
    assert bans.has_peer(PEER)
    bans.save(at_once=True)
    assert bans_on(files, hands)._bans == bans._bans


@pytest.mark.parametrize("content", [b"", b"x", bytes(32), bytes(64)])
def test_a_damaged_file_is_told_and_bans_nobody(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    files = Files(content={BANS_FILE: content})
    assert bans_on(files, Hands()).current() == 0
    assert [record.getMessage() for record in caplog.records] == [
        "⚠️ the file of banned peers is damaged: nobody is banned any more"
    ]


def test_a_full_disk_ends_no_ban(caplog: pytest.LogCaptureFixture) -> None:
    bans = bans_on(Files(broken="full"), Hands())
    bans.add(PEER, IP)
    assert bans.has_peer(PEER)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
