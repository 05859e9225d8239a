"""What a crowd of peers can make this node remember of transactions that nobody has shown it."""

from chain.network.messages import ID_SIZE
from chain.network.wanted import FEW, MAX_OFFERED, MAX_WANTED, Wanted


def ids_of(peer: int, count: int) -> list[bytes]:
    return [(peer << 32 | number).to_bytes(ID_SIZE, "big") for number in range(count)]


def test_a_crowd_that_announces_without_end_shares_a_bound_and_leaves_room_for_others() -> None:
    wanted = Wanted()
    for peer in range(64):
        wanted.joined(str(peer))
        for id_ in ids_of(peer, MAX_OFFERED + 10):
            wanted.offer(str(peer), id_, 0.0)
    assert len(wanted) <= MAX_WANTED + 64 * FEW
    wanted.joined("honest")
    offered = ids_of(99, FEW)
    assert all(wanted.offer("honest", id_, 0.0) for id_ in offered)
    assert wanted.ask("honest", FEW, 0.0) == offered
