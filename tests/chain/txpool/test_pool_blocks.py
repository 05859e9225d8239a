"""The pool beside a growing and forking chain, and what watchers are told."""

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain.common.errors import SubmitError
from chain.txpool.pool import REVALIDATED_AT_ONCE, Limits, Pool
from chain.txpool.watch import MAX_UNREAD, Watch, at
from runtime.primitives.transaction import TransactionRejected
from tests.chain.txpool.ledger import ALICE, BOB, CAROL, Ledger, Seconds, block, extrinsic, hash_of


def hexed(value: bytes) -> str:
    return f"0x{value.hex()}"


async def first(watch: Watch, count: int) -> list[object]:
    async with asyncio.timeout(60):
        return [await anext(watch) for _ in range(count)]


async def all_of(watch: Watch) -> list[object]:
    async with asyncio.timeout(60):
        return [status async for status in watch]


async def test_from_future_to_finalised() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    one, two = extrinsic(ALICE, 0), extrinsic(ALICE, 1)
    hash_two, watch = pool.watch(two)
    assert hash_two == hash_of(two)
    pool.submit(one)
    ledger.include(one, two)
    pool.on_imported(block(1), [one, two], [])
    pool.on_finalized(block(1), [one, two])
    assert await all_of(watch) == [
        "future",
        "ready",
        {"inBlock": hexed(block(1))},
        {"finalized": hexed(block(1))},
    ]
    assert (pool.ready_count, pool.future_count) == (0, 0)


async def test_a_higher_tip_usurps() -> None:
    pool = Pool(Ledger().validate)
    _, watch = pool.watch(extrinsic(ALICE, 0, 1))
    new = pool.submit(extrinsic(ALICE, 0, 2))
    assert await all_of(watch) == ["ready", {"usurped": hexed(new)}]


async def test_a_refused_replacement_leaves_the_watcher_alone() -> None:
    pool = Pool(Ledger().validate)
    transaction = extrinsic(ALICE, 0, 2)
    _, watch = pool.watch(transaction)
    for refused in (transaction, extrinsic(ALICE, 0, 1)):
        with pytest.raises(SubmitError):
            pool.watch(refused)
    pool.on_imported(block(1), [transaction], [])
    assert await first(watch, 2) == ["ready", {"inBlock": hexed(block(1))}]


async def test_dropped_by_the_limits() -> None:
    pool = Pool(Ledger().validate, limits=Limits(ready_count=1))
    _, watch = pool.watch(extrinsic(ALICE, 0, 1))
    pool.submit(extrinsic(BOB, 0, 2))
    assert await all_of(watch) == ["ready", "dropped"]


async def test_invalid_when_it_fails_to_apply() -> None:
    pool = Pool(Ledger().validate)
    transaction, watch = pool.watch(extrinsic(ALICE, 0))
    pool.report_invalid(transaction)
    assert await all_of(watch) == ["ready", "invalid"]


async def test_longevity_ends_a_transaction() -> None:
    ledger = Ledger(longevity=2)
    pool = Pool(ledger.validate, Seconds(), Limits(rechecks=0))
    transaction = extrinsic(ALICE, 0)
    _, watch = pool.watch(transaction)
    pool.on_imported(block(1), [], [])
    assert pool.ready() == [transaction]
    pool.on_imported(block(2), [], [])
    assert pool.ready() == []
    assert await all_of(watch) == ["ready", "invalid"]
    with pytest.raises(SubmitError, match="temporarily banned"):
        pool.submit(transaction)


async def test_a_block_makes_the_pool_ask_again() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    poor, follower = extrinsic(ALICE, 0), extrinsic(ALICE, 1)
    _, watch = pool.watch(poor)
    pool.submit(follower)
    ledger.broken[poor] = TransactionRejected("invalid", "Payment")
    pool.on_imported(block(1), [], [])
    assert await all_of(watch) == ["ready", "invalid"]
    assert (pool.ready(), pool.future_count) == ([], 1)


def test_limits_hold_when_what_is_reported_cannot_stay() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate, limits=Limits(future_count=1))
    poor, *followers = (extrinsic(ALICE, nonce) for nonce in range(3))
    for each in (poor, *followers):
        pool.submit(each)
    ledger.broken[poor] = TransactionRejected("invalid", "Payment")
    pool.report_invalid(hash_of(poor))
    assert (pool.ready_count, pool.future_count) == (0, 1)


def test_asking_again_is_bounded_per_block_and_goes_round() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate, limits=Limits(rechecks=2))
    accounts = [bytes([number]) * 32 for number in range(1, 6)]
    for account in accounts:
        pool.submit(extrinsic(account, 0))
    for account in accounts:
        ledger.broken[extrinsic(account, 0)] = TransactionRejected("invalid", "Payment")
    left = []
    for number in range(3):
        before = ledger.validations
        pool.on_imported(block(number), [], [])
        assert ledger.validations - before <= 2
        left.append(pool.ready_count)
    assert left == [3, 1, 0]


def test_a_nonce_filled_by_a_block_promotes_what_waited() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    never_seen, waiting = extrinsic(ALICE, 0), extrinsic(ALICE, 1)
    pool.submit(waiting)
    ledger.include(never_seen)
    pool.on_imported(block(1), [never_seen], [])
    assert pool.ready() == [waiting]


async def test_a_rival_in_a_block_ends_the_one_in_the_pool() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate, limits=Limits(limbo_blocks=2))
    mine, rival, follower = extrinsic(ALICE, 0), extrinsic(ALICE, 0, 1, b"rival"), extrinsic(ALICE, 1)
    _, watch = pool.watch(mine)
    pool.submit(follower)
    ledger.include(rival)
    pool.on_imported(block(1), [rival], [])
    assert pool.ready() == [follower]
    pool.on_imported(block(2), [], [])
    pool.on_imported(block(3), [], [])
    assert await all_of(watch) == ["ready", "invalid"]


async def test_a_state_ahead_of_the_news_ends_nothing() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    one, two, three = (extrinsic(ALICE, nonce) for nonce in range(3))
    _, watch = pool.watch(one)
    pool.submit(two)
    pool.submit(three)
    ledger.include(one, two)  # block 2 is imported, block 1 is announced
    pool.on_imported(block(1), [], [])
    assert pool.ready() == [three]
    pool.report_invalid(hash_of(two))
    pool.on_imported(block(2), [one, two], [])
    pool.on_finalized(block(2), [one, two])
    assert await all_of(watch) == ["ready", {"inBlock": hexed(block(2))}, {"finalized": hexed(block(2))}]
    assert pool.ready() == [three]


async def test_a_retracted_transaction_comes_back_before_its_successor() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    one, two = extrinsic(ALICE, 0, 1), extrinsic(ALICE, 1, 9)
    _, watch = pool.watch(one)
    pool.submit(two)
    ledger.include(one)
    pool.on_imported(block(1), [one], [])
    assert pool.ready() == [two]
    ledger.revert(one)
    pool.on_imported(block(2), [], [(block(1), [one])])
    assert pool.ready() == [one, two]
    ledger.include(one, two)
    pool.on_imported(block(3), [one, two], [])
    assert await first(watch, 5) == [
        "ready",
        {"inBlock": hexed(block(1))},
        {"retracted": hexed(block(1))},
        "ready",
        {"inBlock": hexed(block(3))},
    ]


async def test_a_transaction_in_both_forks_never_returns_to_the_pool() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    one = extrinsic(ALICE, 0)
    _, watch = pool.watch(one)
    ledger.include(one)
    pool.on_imported(block(1), [one], [])
    pool.on_imported(block(2), [], [(block(1), [one])])  # the new fork holds it in its second block
    pool.on_imported(block(3), [one], [])
    pool.on_finalized(block(3), [one])
    assert await all_of(watch) == [
        "ready",
        {"inBlock": hexed(block(1))},
        {"retracted": hexed(block(1))},
        {"inBlock": hexed(block(3))},
        {"finalized": hexed(block(3))},
    ]


async def test_what_was_retracted_yields_to_a_rival_in_the_pool() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    old, rival = extrinsic(ALICE, 0, 1), extrinsic(ALICE, 0, 2)
    _, watch = pool.watch(old)
    ledger.include(old)
    pool.on_imported(block(1), [old], [])
    ledger.revert(old)
    pool.submit(rival)
    pool.on_imported(block(2), [], [(block(1), [old])])
    assert pool.ready() == [rival]
    assert (await all_of(watch))[-1] == "dropped"


def test_inherents_of_a_retracted_block_do_not_return() -> None:
    inherent = extrinsic(CAROL, 0)
    ledger = Ledger(broken={inherent: TransactionRejected("invalid", "MandatoryValidation")})
    pool = Pool(ledger.validate)
    pool.on_imported(block(1), [inherent], [])
    pool.on_imported(block(2), [], [(block(1), [inherent])])
    assert (pool.ready_count, pool.future_count) == (0, 0)


async def test_finalised_without_having_been_best_here() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    one = extrinsic(ALICE, 0)
    _, watch = pool.watch(one)
    pool.on_finalized(block(1), [one])
    assert await all_of(watch) == [
        "ready",
        {"inBlock": hexed(block(1))},
        {"finalized": hexed(block(1))},
    ]
    assert pool.ready() == []


async def test_finality_that_does_not_come_ends_the_watch() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate, limits=Limits(unfinalised_blocks=2))
    one = extrinsic(ALICE, 0)
    _, watch = pool.watch(one)
    for number, body in enumerate([[one], [], []]):
        pool.on_imported(block(number), body, [])
    assert (await all_of(watch))[-1] == {"finalityTimeout": hexed(block(0))}


async def test_a_waiting_reader_is_woken() -> None:
    pool = Pool(Ledger().validate)
    _, watch = pool.watch(extrinsic(ALICE, 0))
    reader = asyncio.create_task(all_of(watch))
    await asyncio.sleep(0)
    pool.on_imported(block(1), [extrinsic(ALICE, 0)], [])
    await asyncio.sleep(0)
    pool.on_finalized(block(1), [extrinsic(ALICE, 0)])
    assert (await reader)[-1] == {"finalized": hexed(block(1))}


async def test_a_closed_watch_ends_at_once_and_twice_is_fine() -> None:
    pool = Pool(Ledger().validate)
    _, watch = pool.watch(extrinsic(ALICE, 0))
    reader = asyncio.create_task(anext(watch, "ended"))
    assert await reader == "ready"
    watch.close()
    watch.close()
    assert await all_of(watch) == []
    pool.on_imported(block(1), [extrinsic(ALICE, 0)], [])
    assert await all_of(watch) == []


async def test_a_watch_nobody_reads_keeps_the_last_statuses() -> None:
    watch = Watch()
    for number in range(2 * MAX_UNREAD):
        watch.tell(at("inBlock", block(number)))
    watch.tell("invalid")
    watch.tell("ready")
    statuses = await all_of(watch)
    assert (len(statuses), statuses[-1]) == (MAX_UNREAD, "invalid")


def code_of(pool: Pool, transaction: bytes) -> int:
    """Submit and return the code of the refusal, 0 without one."""
    try:
        pool.submit(transaction)
    except SubmitError as refusal:
        return refusal.code
    return 0


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "block", "fork", "report", "remove"]), st.integers(0, 2), st.integers(0, 5)
    ),
    max_size=40,
)
WAITING = [("submit", 0, 0), ("submit", 0, 1), ("submit", 0, 3)]
"""two that are ready and one that is not"""


@settings(max_examples=150)
@given(ACTIONS, st.integers(1, 6), st.integers(1, 4))
@example([*WAITING, ("report", 0, 0)], 2, 1)
@example([*WAITING, ("remove", 0, 1)], 2, 1)
def test_the_author_always_gets_an_order_that_applies(
    actions: list[tuple[str, int, int]], ready_count: int, future_count: int
) -> None:
    """Whatever happens, limits hold and the ready list executes nonce by nonce on the state."""
    ledger = Ledger()
    limits = Limits(ready_count=ready_count, future_count=future_count)
    pool = Pool(ledger.validate, Seconds(), limits)
    chain: list[tuple[int, list[bytes]]] = []
    for number, (action, who, amount) in enumerate(actions):
        account = (ALICE, BOB, CAROL)[who]
        if action == "submit":
            nonce = ledger.nonces.get(account, 0) + amount % 4
            assert code_of(pool, extrinsic(account, nonce, amount)) in {0, 1010, 1012, 1013, 1014, 1016}
        elif action == "report" and pool.ready_count:
            pool.report_invalid(hash_of(pool.ready()[amount % pool.ready_count]))
        elif action == "remove":
            pool.remove([hash_of(each) for each in pool.ready()[:amount]])
        else:
            retracted = []
            if action == "fork" and chain:
                old, body = chain.pop()
                ledger.revert(*body)
                retracted = [(block(old), body)]
            body = pool.ready()[:amount] if not retracted else []
            ledger.include(*body)
            chain.append((number, body))
            pool.on_imported(block(number), body, retracted)
        nonces = dict(ledger.nonces)
        for transaction in pool.ready():
            account, nonce = transaction[:32], int.from_bytes(transaction[32:36], "little")
            assert nonce == nonces.get(account, 0)
            nonces[account] = nonce + 1
        assert len(pool.ready()) == pool.ready_count <= ready_count
        assert pool.future_count <= future_count


async def test_another_runtime_judges_all_that_waits_a_few_at_a_time() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    stale = [extrinsic(bytes([number, 9]) * 16, 0) for number in range(REVALIDATED_AT_ONCE + 5)]
    good, follower = extrinsic(ALICE, 0), extrinsic(ALICE, 1)
    watches = [pool.watch(each)[1] for each in (*stale, good, follower)]
    ledger.broken = {each: TransactionRejected("invalid", "BadProof") for each in stale}
    before = ledger.validations
    left = [pool.ready_count for _ in pool.revalidate()]
    assert left == [7, 2]
    assert ledger.validations - before == len(stale) + 2
    assert pool.ready() == [good, follower]
    assert [await all_of(watch) for watch in watches[:-2]] == [["ready", "invalid"]] * len(stale)
    with pytest.raises(SubmitError, match="1012"):  # banned, so that it is not told around any more
        pool.submit(stale[0])
