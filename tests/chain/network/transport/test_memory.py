from chain.network.transport.memory import MAX_MEMORY, MAX_MEMORY_PER_PEER, Memory


def test_a_peer_has_its_share_and_no_more() -> None:
    memory, left = Memory(most=1_000, most_per_peer=100), list[str]()
    share = memory.share(left.append)
    share.change(100)
    assert left == []
    share.change(1)
    assert left == ["it holds 0 KiB of this node's memory"]


def test_whoever_holds_most_makes_room_for_all() -> None:
    memory, left = Memory(most=3 << 10, most_per_peer=3 << 10), list[tuple[int, str]]()
    shares = [memory.share(lambda why, number=number: left.append((number, why))) for number in range(3)]
    for share, size in zip(shares, (1_000, 1_500, 500), strict=True):
        share.change(size)
    assert left == []
    shares[2].change(100)
    assert left == [(1, "it holds most, 1 KiB, of the memory that peers share")]
    shares[1].close()
    assert memory.held == 1_600
    shares[1].close()
    assert memory.held == 1_600
    shares[0].change(-1_000)
    shares[0].close()
    shares[2].close()
    assert memory.held == 0


def test_the_bounds_are_those_of_the_design() -> None:
    assert (MAX_MEMORY, MAX_MEMORY_PER_PEER) == (256 << 20, 16 << 20)
