from dataclasses import dataclass

from chain.network.half_open import MAX_HALF_OPEN, MAX_HALF_OPEN_PER_IP, HalfOpen
from chain.network.wire import Wire


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


def test_an_address_has_its_share_of_handshakes() -> None:
    half_open = HalfOpen()
    many = [Dialled("203.0.113.7") for _ in range(MAX_HALF_OPEN_PER_IP + 2)]
    other = Dialled("198.51.100.1")
    for wire in (other, *many):
        half_open.add(wire)
    assert [wire.is_over for wire in many] == [True] * 2 + [False] * MAX_HALF_OPEN_PER_IP
    assert not other.is_over
    assert len(half_open) == MAX_HALF_OPEN_PER_IP + 1


def test_this_machine_may_have_all_and_gives_way_to_others() -> None:
    half_open = HalfOpen()
    here = [Dialled("127.0.0.1") for _ in range(MAX_HALF_OPEN)]
    for wire in here:
        half_open.add(wire)
    assert not any(wire.is_over for wire in here)
    other = Dialled("198.51.100.1")
    half_open.add(other)
    assert [wire.is_over for wire in here] == [True] + [False] * (MAX_HALF_OPEN - 1)
    assert not other.is_over
    assert len(half_open) == MAX_HALF_OPEN


def test_whoever_is_known_is_not_counted() -> None:
    half_open = HalfOpen()
    for _ in range(3 * MAX_HALF_OPEN):
        wire = Dialled("203.0.113.7")
        half_open.add(wire)
        half_open.remove(wire)
        assert not wire.is_over
    half_open.remove(wire)
    assert len(half_open) == 0
