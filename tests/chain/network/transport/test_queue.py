from hypothesis import given
from hypothesis import strategies as st

from chain.network.messages import Channel
from chain.network.transport.frames import CONTROL, HEAD, Assembler
from chain.network.transport.queue import OVERHEAD, SendQueue


def queue(most: int) -> SendQueue:
    return SendQueue(most, lambda _: None)


def order(waiting: SendQueue) -> list[tuple[int, int]]:
    """Return channel and size of what comes out, one after the other."""
    assembler = Assembler(lambda _: None)
    found: list[tuple[int, int]] = []
    while frame := waiting.frame():
        found += [(channel, len(message)) for channel, message in assembler.messages(frame)]
    return found


def test_the_lowest_number_goes_first() -> None:
    waiting = queue(1 << 20)
    for channel in (Channel.PEERS, Channel.ANSWERS, Channel.VOTES, Channel.TRANSACTIONS, CONTROL):
        assert waiting.put(channel, b"x")
    assert [channel for channel, _ in order(waiting)] == [
        CONTROL, Channel.VOTES, Channel.ANSWERS, Channel.TRANSACTIONS, Channel.PEERS
    ]  # fmt: skip


def test_a_vote_is_in_the_next_frame() -> None:
    waiting = queue(8 << 20)
    assert waiting.put(Channel.STATE_ANSWERS, bytes(4 << 20))
    waiting.frame()
    assert waiting.put(Channel.VOTES, b"vote")
    assert waiting.frame().startswith(HEAD.pack(Channel.VOTES, 0, 4) + b"vote")


def test_the_newest_of_the_lowest_priority_give_way() -> None:
    waiting = queue(10 * (1_000 + OVERHEAD))
    for _ in range(5):
        assert waiting.put(Channel.TRANSACTIONS, bytes(1_000))
    for _ in range(5):
        assert waiting.put(Channel.STATE_ANSWERS, bytes(1_000))
    assert waiting.put(Channel.ANSWERS, bytes(1_500))
    assert waiting.shed == 2
    assert not waiting.put(Channel.STATE_ANSWERS, bytes(2_000))  # nothing is lower
    for _ in range(3):
        assert waiting.put(Channel.VOTES, bytes(1_000))
    assert order(waiting) == (
        [(Channel.VOTES, 1_000)] * 3 + [(Channel.ANSWERS, 1_500)] + [(Channel.TRANSACTIONS, 1_000)] * 5
    )
    assert waiting.shed == 5


def test_nothing_is_given_up_for_what_does_not_fit_anyway() -> None:
    waiting = queue(10_000)
    assert waiting.put(Channel.GRANDPA, bytes(5_000))
    assert waiting.put(Channel.TRANSACTIONS, bytes(4_000))
    assert not waiting.put(Channel.GRANDPA, bytes(9_000))
    assert waiting.shed == 0
    assert order(waiting) == [(Channel.GRANDPA, 5_000), (Channel.TRANSACTIONS, 4_000)]


def test_a_message_that_is_on_its_way_is_not_given_up() -> None:
    waiting = queue(200_000)
    assert waiting.put(Channel.TRANSACTIONS, bytes(150_000))
    first = waiting.frame()
    assert not waiting.put(Channel.VOTES, bytes(60_000))
    assembler = Assembler(lambda _: None)
    assert list(assembler.messages(first)) == []
    rest = [each for _ in range(2) for each in assembler.messages(waiting.frame())]
    assert rest == [(Channel.TRANSACTIONS, bytes(150_000))]


def test_millions_of_empty_messages_are_not_free() -> None:
    waiting = queue(100 * OVERHEAD)
    assert [waiting.put(Channel.VOTES, b"") for _ in range(101)] == [True] * 100 + [False]


@given(
    st.lists(
        st.one_of(
            st.just(None),
            st.tuples(st.sampled_from([*Channel]), st.integers(0, 90_000)),
        ),
        max_size=60,
    )
)
def test_what_waits_is_what_is_counted_and_never_too_much(steps: list[tuple[int, int] | None]) -> None:
    held = 0

    def hold(by: int) -> None:
        nonlocal held
        held += by

    waiting = SendQueue(200_000, hold)
    taken = 0
    for step in steps:
        if step is None:
            waiting.frame()
        else:
            taken += waiting.put(step[0], bytes(step[1]))
        assert held == waiting.size <= 200_000
        assert waiting.size == sum(lane.size for lane in waiting._lanes)
    while waiting.frame():
        pass
    assert held == 0
    assert waiting.shed <= taken
