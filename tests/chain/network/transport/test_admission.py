import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.env_real import RealRng
from chain.keys.node import peer_id
from chain.network.discovery.addresses import group_of, parse_address
from chain.network.transport.admission import MAX_PER_NETWORK, Admission
from chain.network.transport.bans import REFUSED, Bans
from chain.network.transport.reserved import Reserved
from tests.chain.network.hands import Hands
from tests.sim.env import Files, Life, SimDisk

PEERS = [peer_id(bytes([number, 1]) * 16) for number in range(200)]
FRIEND, BOOTNODE, STRANGER = PEERS[-3:]


@dataclass
class Connected:
    """What the rules look at of a connection."""

    peer: str
    ip: str
    outbound: bool = False
    fastest: float = math.inf
    thanked: float | None = None


class House:
    """The rules of one node, and who is connected with it."""

    def __init__(self, *, in_peers: int = 64, allow_private: bool = False, only: bool = False) -> None:
        self.links: list[Connected] = []
        self.hands = Hands()
        self.bans = Bans(SimDisk(Files(), Life()), self.hands)
        self.reserved = Reserved([parse_address(f"/ip4/8.8.8.8/tcp/1/p2p/{FRIEND}")], only=only)
        self.rules = Admission(
            self.reserved, frozenset([BOOTNODE]), self.bans, lambda: self.links,  # type: ignore[arg-type,return-value]
            RealRng(), in_peers=in_peers, allow_private=allow_private,
        )  # fmt: skip

    def comes(self, peer: str, ip: str, *, outbound: bool = False) -> str:
        """Have somebody come in if the rules allow it; return why not."""
        flaw = self.rules.flaw(peer, ip, outbound=outbound)
        if not flaw:
            displaced = None if outbound else self.rules.displaced(peer, ip)
            self.links = [link for link in self.links if link is not displaced and link.peer != peer]
            self.links.append(Connected(peer, ip, outbound))
        return flaw


@pytest.mark.parametrize(
    ("ips", "elsewhere"),
    [
        (("203.0.112.1", "203.0.112.77", "203.0.112.255"), "203.0.114.1"),
        (("2a00:1::1", "2a00:1:0:7::1", "2a00:1:0:ffff::"), "2a00:1:1::1"),
    ],
)
def test_two_come_from_one_network(ips: tuple[str, ...], elsewhere: str) -> None:
    house = House()
    assert [house.comes(peer, ip) for peer, ip in zip(PEERS, ips, strict=False)] == [
        "", "", f"{MAX_PER_NETWORK} from the network of {ips[2]} are connected already",
    ]  # fmt: skip
    assert house.comes(PEERS[5], elsewhere) == ""
    assert house.comes(FRIEND, ips[2]) == ""
    assert house.comes(BOOTNODE, ips[2]) == ""
    assert house.comes(PEERS[6], ips[2], outbound=True) == ""


def test_who_comes_again_does_not_count_twice() -> None:
    house = House(in_peers=2)
    for _ in range(5):
        assert house.comes(PEERS[0], "203.0.112.1") == ""
        assert house.comes(PEERS[1], "203.0.112.2") == ""


@pytest.mark.parametrize(
    ("ip", "allow_private", "all_come"),
    [
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.0.0.7", True, True),
        ("10.0.0.7", False, False),
        ("8.8.8.8", True, False),
    ],
)
def test_this_machine_and_its_site_are_no_crowd(ip: str, allow_private: bool, all_come: bool) -> None:
    house = House(allow_private=allow_private)
    assert (not any(house.comes(peer, ip) for peer in PEERS[:20])) is all_come


def test_strangers_fill_their_places_and_no_others() -> None:
    house = House(in_peers=3)
    for number in range(3):
        assert house.comes(PEERS[number], f"{20 + number}.0.0.1") == ""
    assert house.comes(STRANGER, "30.0.0.1") == (
        "3 have dialled this node already: raise --in-peers to let in more"
    )
    for peer in (FRIEND, BOOTNODE):
        assert house.comes(peer, "30.0.0.1") == ""
    assert house.comes(STRANGER, "30.0.0.1", outbound=True) == ""
    assert len(house.links) == 6


def test_a_newcomer_from_elsewhere_takes_the_last_place_of_the_largest_crowd() -> None:
    house = House(in_peers=5)
    crowd = [f"20.0.{number}.1" for number in range(4)]
    for peer, ip in zip(PEERS, crowd, strict=False):
        assert house.comes(peer, ip) == ""
    assert house.comes(PEERS[4], "30.0.0.1") == ""
    assert house.comes(PEERS[5], "40.0.0.1") == ""
    assert [link.ip for link in house.links] == [*crowd[:3], "30.0.0.1", "40.0.0.1"]
    assert house.comes(PEERS[6], "20.0.9.1") != ""  # one of the crowd takes nobody's place


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 5), st.integers(0, 40)), max_size=120))
def test_whoever_comes_the_places_hold_and_no_crowd_pushes_out_a_smaller_one(
    arrivals: list[tuple[int, int, int]],
) -> None:
    house = House(in_peers=7)  # too few for places that are for newcomers
    for number, group, network in arrivals:
        before = list(house.links)
        house.comes(PEERS[number], f"{20 + group}.0.{network}.1")
        assert len(house.links) <= 7
        gone = [link for link in before if link not in house.links and link.peer != PEERS[number]]
        assert len(gone) <= 1
        for link in gone:
            sizes = [
                sum(group_of(each.ip) == group_of(at) for each in before)
                for at in (link.ip, house.links[-1].ip)
            ]
            assert sizes[0] > sizes[1]


def test_newcomers_find_a_place_in_a_full_house_and_the_old_ones_stay() -> None:
    house = House(in_peers=64)
    for number in range(150):
        assert house.comes(PEERS[number], f"{20 + number}.0.0.1") == ""
    there = [link.peer for link in house.links]
    assert len(there) == 64
    assert there[:30] == PEERS[:30]
    assert there[-1] == PEERS[149]


def test_strangers_that_came_first_and_flood_do_not_keep_an_honest_one_from_staying() -> None:
    """It is nearer than they are, so it stays once that is measured."""
    house = House(in_peers=64)
    for number in range(64):
        assert house.comes(PEERS[number], f"20.{number}.0.1") == ""
        house.links[-1].fastest = 0.2
    assert house.comes(STRANGER, "190.0.0.1") == ""
    house.links[-1].fastest = 0.03
    for number in range(64, 190):
        assert house.comes(PEERS[number], f"20.{number}.0.1") == ""
    assert STRANGER in [link.peer for link in house.links]


def test_who_has_told_news_of_late_stays_whoever_comes() -> None:
    house = House(in_peers=64)
    for number in range(64):
        assert house.comes(PEERS[number], f"20.{number}.0.1") == ""
    assert house.comes(STRANGER, "190.0.0.1") == ""
    house.links[-1].thanked = 7.0
    for number in range(64, 190):
        assert house.comes(PEERS[number], f"20.{number}.0.1") == ""
        house.links[-1].fastest = 0.01 * number
    assert STRANGER in [link.peer for link in house.links]


def test_in_a_full_house_newcomers_of_one_place_push_out_each_other_only() -> None:
    house = House(in_peers=64, allow_private=True)
    for number in range(40):
        assert house.comes(PEERS[number], f"{20 + number}.0.0.1") == ""
    for number in range(40, 190):
        assert house.comes(PEERS[number], "10.0.0.7") == ""
    assert [link.peer for link in house.links][:40] == PEERS[:40]
    assert len(house.links) == 64


def test_banned_ones_stay_out_wherever_they_are_and_whoever_dials() -> None:
    house = House()
    house.bans.add(STRANGER, "203.0.112.7")
    house.hands.seconds += REFUSED
    for ip in ("203.0.112.7", "20.0.0.1"):
        for outbound in (False, True):
            assert house.comes(STRANGER, ip, outbound=outbound) == f"{STRANGER} is banned"


def test_a_neighbour_of_a_banned_one_comes_in_after_a_minute_and_at_once_where_it_is_dialled_or_named() -> (
    None
):
    house, there = House(), "203.0.112.7"
    house.bans.add(STRANGER, there)
    assert house.comes(PEERS[0], there) == f"somebody else at {there} was banned a moment ago"
    for peer in (FRIEND, BOOTNODE):
        assert house.comes(peer, there) == ""
    assert house.comes(PEERS[1], there, outbound=True) == ""
    for _ in range(10):  # however often the same one offends
        house.bans.add(STRANGER, "")
    house.hands.seconds += REFUSED
    assert house.rules.may_knock(there)
    assert house.comes(PEERS[0], there) == ""


def test_neighbours_of_a_banned_one_take_free_places_and_go_first() -> None:
    house, there = House(in_peers=8), "203.0.112.7"
    house.bans.add(STRANGER, there)
    house.hands.seconds += REFUSED
    for peer in PEERS[:2]:
        assert house.comes(peer, there) == ""
    for number in range(2, 8):
        assert house.comes(PEERS[number], f"{20 + number}.0.0.1") == ""
    for number in range(8, 10):
        assert house.comes(PEERS[number], f"{20 + number}.0.0.1") == ""
    assert [link.peer for link in house.links] == PEERS[2:10]
    assert house.comes(PEERS[0], there) == "8 have dialled this node already: raise --in-peers to let in more"


def test_a_refused_address_may_say_who_it_is_while_a_reserved_peer_is_missing() -> None:
    house = House()
    house.bans.add(STRANGER, "203.0.112.7")
    assert house.rules.may_knock("203.0.112.7")
    assert house.comes(FRIEND, "20.0.0.1") == ""
    assert not house.rules.may_knock("203.0.112.7")
    assert house.rules.may_knock("203.0.112.8")


def test_with_reserved_only_others_stay_out() -> None:
    house = House(only=True)
    assert house.comes(FRIEND, "20.0.0.1") == ""
    for peer in (STRANGER, BOOTNODE):
        assert house.comes(peer, "127.0.0.1") == "only reserved peers are let in"
