from dataclasses import dataclass

from chain.env_real import RealRng
from chain.network.transport.half_open import (
    HANDSHAKES_AT_ONCE,
    HANDSHAKES_PER_SECOND,
    MAX_HALF_OPEN,
    MAX_HALF_OPEN_PER_IP,
    REMEMBERED,
    HalfOpen,
)
from chain.network.transport.wire import Wire


@dataclass(eq=False)
class Dialled(Wire):
    """A connection from somewhere, without a socket."""

    address: str
    is_over: bool = False

    @property
    def ip(self) -> str:
        """Return where it comes from."""
        return self.address

    def abort(self, reason: str = "") -> None:
        """Note that it is over."""
        self.is_over = True


def half() -> HalfOpen:
    return HalfOpen(lambda: 0.0, RealRng())


def test_an_address_has_its_share_of_handshakes() -> None:
    half_open = half()
    many = [Dialled("203.0.113.7") for _ in range(MAX_HALF_OPEN_PER_IP + 2)]
    other = Dialled("198.51.100.1")
    for wire in (other, *many):
        half_open.add(wire)
    assert sum(wire.is_over for wire in many) == 2
    assert not many[-1].is_over
    assert not other.is_over
    assert len(half_open) == MAX_HALF_OPEN_PER_IP + 1


def test_this_machine_may_have_all_and_gives_way_to_others() -> None:
    half_open = half()
    here = [Dialled("127.0.0.1") for _ in range(MAX_HALF_OPEN)]
    for wire in here:
        half_open.add(wire)
    assert not any(wire.is_over for wire in here)
    other = Dialled("198.51.100.1")
    half_open.add(other)
    assert sum(wire.is_over for wire in here) == 1
    assert not other.is_over
    assert len(half_open) == MAX_HALF_OPEN


def test_a_crowd_from_everywhere_does_not_outrun_who_is_far_away() -> None:
    """Twice as many come as there are places while one greets: the oldest is not always the one to go."""
    stayed = 0
    for _ in range(200):
        half_open = half()
        far = Dialled("198.51.100.1")
        half_open.add(far)
        for number in range(2 * MAX_HALF_OPEN):
            half_open.add(Dialled(f"203.0.113.{number}"))
        stayed += not far.is_over
    assert 20 < stayed < 150  # about 200 / e


def test_whoever_is_known_is_not_counted() -> None:
    half_open = half()
    for _ in range(3 * MAX_HALF_OPEN):
        wire = Dialled("127.0.0.1")
        assert half_open.add(wire)
        half_open.remove(wire)
        assert not wire.is_over
    half_open.remove(wire)
    assert len(half_open) == 0


def test_an_address_that_comes_too_often_has_to_wait_and_nobody_else() -> None:
    seconds = 0.0
    half_open = HalfOpen(lambda: seconds, RealRng())
    taken = [half_open.add(Dialled("203.0.113.7")) for _ in range(HANDSHAKES_AT_ONCE + 2)]
    assert taken == [True] * HANDSHAKES_AT_ONCE + [False] * 2
    assert half_open.add(Dialled("203.0.113.8"))
    seconds += 1
    again = [half_open.add(Dialled("203.0.113.7")) for _ in range(HANDSHAKES_PER_SECOND + 1)]
    assert again == [True] * HANDSHAKES_PER_SECOND + [False]


def test_a_household_of_ip6_is_one_address() -> None:
    half_open = half()
    taken = [half_open.add(Dialled(f"2001:db8::{each:x}")) for each in range(HANDSHAKES_AT_ONCE + 1)]
    assert taken == [True] * HANDSHAKES_AT_ONCE + [False]
    assert half_open.add(Dialled("2001:db8:0:1::1"))


def test_so_many_addresses_are_remembered() -> None:
    half_open = half()
    for number in range(REMEMBERED + 10):
        assert half_open.add(Dialled(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    assert len(half_open._shares) == REMEMBERED
