"""Admission, order and limits of the transaction pool."""

import pytest

from chain.common.errors import SubmitError
from chain.txpool.pool import Limits, Pool
from runtime.primitives.transaction import FOREVER, TransactionRejected, ValidTransaction
from tests.chain.txpool.ledger import ALICE, BOB, CAROL, Ledger, Seconds, block, extrinsic, hash_of


def refused(pool: Pool, transaction: bytes) -> tuple[int, str, str | None]:
    with pytest.raises(SubmitError) as caught:
        pool.submit(transaction)
    return caught.value.code, caught.value.message, caught.value.data


def test_a_ready_transaction_is_kept_and_answered_with_its_hash() -> None:
    pool = Pool(Ledger().validate)
    transaction = extrinsic(ALICE, 0)
    assert pool.submit(transaction) == hash_of(transaction)
    assert pool.ready() == [transaction]
    assert pool.get(hash_of(transaction)) == transaction
    assert pool.get(hash_of(b"")) is None


def test_a_gap_in_the_nonces_waits_until_it_is_filled() -> None:
    pool = Pool(Ledger().validate)
    first, second, third = (extrinsic(ALICE, nonce) for nonce in range(3))
    pool.submit(third)
    pool.submit(second)
    assert (pool.ready(), pool.future_count) == ([], 2)
    pool.submit(first)
    assert (pool.ready(), pool.future_count) == ([first, second, third], 0)


def test_twenty_in_flight_from_one_account_leave_in_nonce_order() -> None:
    pool = Pool(Ledger().validate)
    sent = [extrinsic(ALICE, nonce, priority=nonce + 1) for nonce in range(20)]
    for transaction in reversed(sent):
        pool.submit(transaction)
    assert pool.ready() == sent


def test_authors_take_the_higher_priority_first_and_the_earlier_of_equals() -> None:
    pool = Pool(Ledger().validate)
    poor, early, late = extrinsic(ALICE, 0, 1), extrinsic(BOB, 0, 5), extrinsic(CAROL, 0, 5)
    rich_but_second = extrinsic(ALICE, 1, 9)
    for transaction in (poor, early, late, rich_but_second):
        pool.submit(transaction)
    assert pool.ready() == [early, late, poor, rich_but_second]


def test_the_same_bytes_are_refused_with_their_hash() -> None:
    pool = Pool(Ledger().validate)
    transaction = extrinsic(ALICE, 0)
    pool.submit(transaction)
    hexadecimal = f"0x{hash_of(transaction).hex()}"
    assert refused(pool, transaction) == (1013, "Transaction Already Imported", hexadecimal)


def test_the_same_nonce_needs_a_higher_priority() -> None:
    pool = Pool(Ledger().validate)
    old, equal, lower, higher = (extrinsic(ALICE, 0, priority, b"!") for priority in (5, 5, 4, 6))
    old = extrinsic(ALICE, 0, 5)
    pool.submit(old)
    why = "The transaction has too low priority to replace another transaction already in the pool."
    assert refused(pool, equal) == (1014, "Priority is too low: (5 vs 5)", why)
    assert refused(pool, lower) == (1014, "Priority is too low: (5 vs 4)", why)
    assert pool.ready() == [old]
    pool.submit(higher)
    assert pool.ready() == [higher]


def test_a_replaced_transaction_leaves_its_successors_ready() -> None:
    pool = Pool(Ledger().validate)
    old, new, successor = extrinsic(ALICE, 0, 1), extrinsic(ALICE, 0, 2), extrinsic(ALICE, 1)
    for transaction in (old, successor, new):
        pool.submit(transaction)
    assert pool.ready() == [new, successor]


def test_a_future_transaction_is_replaced_by_the_same_rule() -> None:
    pool = Pool(Ledger().validate)
    pool.submit(extrinsic(ALICE, 3, 5))
    assert refused(pool, extrinsic(ALICE, 3, 5, b"!"))[0] == 1014
    pool.submit(extrinsic(ALICE, 3, 6))
    assert pool.future_count == 1


@pytest.mark.parametrize(
    ("problem", "answer"),
    [
        (
            TransactionRejected("invalid", "BadProof"),
            (1010, "Invalid Transaction", "Transaction has a bad signature"),
        ),
        (
            TransactionRejected("invalid", "Payment"),
            (
                1010,
                "Invalid Transaction",
                "Inability to pay some fees (e.g. account balance too low)",
            ),
        ),
        (
            TransactionRejected("invalid", "Custom", 3, "committed already"),
            (1010, "Invalid Transaction", "Custom error: 3 (committed already)"),
        ),
    ],
)
def test_an_invalid_transaction_is_banned_for_half_an_hour(
    problem: TransactionRejected, answer: tuple[int, str, str]
) -> None:
    transaction, clock = extrinsic(ALICE, 0), Seconds()
    ledger = Ledger(broken={transaction: problem})
    pool = Pool(ledger.validate, clock)
    assert refused(pool, transaction) == answer
    clock.now = 1799
    assert refused(pool, transaction) == (1012, "Transaction is temporarily banned", None)
    assert ledger.validations == 1
    clock.now = 1800
    assert refused(pool, transaction) == answer


def test_a_transaction_nobody_can_judge_is_not_banned() -> None:
    transaction = extrinsic(ALICE, 0)
    ledger = Ledger(broken={transaction: TransactionRejected("unknown", "CannotLookup")})
    pool = Pool(ledger.validate)
    why = "Could not lookup information required to validate the transaction"
    assert refused(pool, transaction) == (1011, "Unknown Transaction Validity", why)
    ledger.broken.clear()
    pool.submit(transaction)
    assert pool.ready() == [transaction]


def test_what_comes_too_early_may_come_again_at_once() -> None:
    transaction = extrinsic(ALICE, 0)
    too_early = TransactionRejected("invalid", "Custom", 6, "wait for it", early=True)
    ledger = Ledger(broken={transaction: too_early})
    pool = Pool(ledger.validate)
    assert refused(pool, transaction) == (1010, "Invalid Transaction", "Custom error: 6 (wait for it)")
    ledger.broken.clear()
    pool.submit(transaction)
    assert pool.ready() == [transaction]


def test_the_ban_list_is_bounded() -> None:
    first, second = extrinsic(ALICE, 0), extrinsic(BOB, 0)
    ledger = Ledger(broken={each: TransactionRejected("invalid", "BadProof") for each in (first, second)})
    pool = Pool(ledger.validate, limits=Limits(bans=1))
    assert refused(pool, first)[0] == 1010
    assert refused(pool, second)[0] == 1010
    assert refused(pool, second)[0] == 1012
    assert refused(pool, first)[0] == 1010


def test_an_oversized_extrinsic_never_reaches_the_runtime() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate, limits=Limits(extrinsic_size=44))
    pool.submit(extrinsic(ALICE, 0))
    why = "Transaction would exhaust the block limits"
    assert refused(pool, extrinsic(ALICE, 1, memo=b"!")) == (1010, "Invalid Transaction", why)
    assert ledger.validations == 1


@pytest.mark.parametrize(
    ("requires", "provides", "code"), [([], [], 1017), ([b"here"], [b"here", b"there"], 1015)]
)
def test_tags_must_name_the_transaction_and_make_no_cycle(
    requires: list[bytes], provides: list[bytes], code: int
) -> None:
    pool = Pool(lambda *_: ValidTransaction(1, requires, provides, FOREVER, True))
    assert refused(pool, b"unsigned")[0] == code
    assert (pool.ready_count, pool.future_count) == (0, 0)


def test_repeated_tags_do_no_harm() -> None:
    pool = Pool(lambda body, _: ValidTransaction(1, [], [body, body], FOREVER, True))
    pool.submit(b"unsigned")
    pool.on_imported(block(1), [b"unsigned"], [])
    assert (pool.ready_count, pool.future_count) == (0, 0)


def test_a_full_pool_keeps_what_pays_most() -> None:
    pool = Pool(Ledger().validate, limits=Limits(ready_count=2))
    cheap, middle, dear = extrinsic(ALICE, 0, 1), extrinsic(BOB, 0, 2), extrinsic(CAROL, 0, 3)
    pool.submit(cheap)
    pool.submit(middle)
    pool.submit(dear)
    assert pool.ready() == [dear, middle]
    why = "The transaction couldn't enter the pool because of the limit"
    assert refused(pool, cheap) == (1016, "Immediately Dropped", why)


def test_bytes_are_limited_too() -> None:
    pool = Pool(Ledger().validate, limits=Limits(ready_size=100))
    first, second, third = extrinsic(ALICE, 0, 1), extrinsic(BOB, 0, 2), extrinsic(CAROL, 0, 3)
    for transaction in (first, second, third):  # 44 bytes each
        pool.submit(transaction)
    assert pool.ready() == [third, second]


def test_future_transactions_are_limited_in_all_and_per_sender() -> None:
    pool = Pool(Ledger().validate, limits=Limits(future_count=3, future_per_sender=2))
    for nonce in (1, 2):
        pool.submit(extrinsic(ALICE, nonce))
    why = "The transaction couldn't enter the pool because of the limit of 2 future per sender"
    assert refused(pool, extrinsic(ALICE, 3)) == (1016, "Immediately Dropped", why)
    pool.submit(extrinsic(ALICE, 2, 7))  # takes the place of one, so there is room
    pool.submit(extrinsic(BOB, 1))
    assert refused(pool, extrinsic(CAROL, 1))[0] == 1016
    pool.submit(extrinsic(CAROL, 1, 9))
    assert pool.future_count == 3
    assert pool.get(hash_of(extrinsic(CAROL, 1, 9))) is not None


def test_a_dropped_transaction_takes_its_successors_out_of_the_ready_ones() -> None:
    pool = Pool(Ledger().validate, limits=Limits(ready_count=2))
    first, second, third = extrinsic(ALICE, 0, 1), extrinsic(ALICE, 1, 5), extrinsic(BOB, 0, 7)
    for transaction in (first, second, third):
        pool.submit(transaction)
    assert (pool.ready(), pool.future_count) == ([third], 1)


def test_the_next_index_counts_consecutive_ready_transactions_only() -> None:
    ledger = Ledger(nonces={ALICE: 4})
    pool = Pool(ledger.validate)
    assert pool.next_index(ALICE, 4) == 4
    for nonce in (4, 5, 7):
        pool.submit(extrinsic(ALICE, nonce))
    assert pool.next_index(ALICE, 4) == 6
    assert pool.next_index(BOB, 0) == 0
    pool.submit(extrinsic(ALICE, 6))
    assert pool.next_index(ALICE, 4) == 8


def test_the_proposer_is_not_given_what_left_meanwhile() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    bad, follower, good = extrinsic(ALICE, 0, 9), extrinsic(ALICE, 1, 9), extrinsic(BOB, 0, 1)
    for transaction in (bad, follower, good):
        pool.submit(transaction)
    taken = []
    for transaction, body in pool.best_first():
        if body == bad:
            pool.report_invalid(transaction)
        else:
            taken.append(body)
    assert taken == [good]
    assert (pool.ready(), pool.future_count) == ([good], 1)
    assert refused(pool, bad)[0] == 1012


def test_what_the_proposer_reports_too_early_stays() -> None:
    ledger = Ledger()
    pool = Pool(ledger.validate)
    follower = extrinsic(ALICE, 1)
    ledger.nonces[ALICE] = 1
    pool.submit(follower)
    ledger.nonces[ALICE] = 0  # the best block changed under the proposer
    pool.report_invalid(hash_of(follower))
    assert (pool.ready(), pool.future_count) == ([], 1)
    pool.submit(extrinsic(ALICE, 0))
    assert pool.ready() == [extrinsic(ALICE, 0), follower]


def test_the_successor_of_one_that_lacked_room_is_not_banned() -> None:
    """The author skips the first, so the second is early: that says nothing about it."""
    ledger = Ledger()
    pool = Pool(ledger.validate)
    first, second = extrinsic(ALICE, 0), extrinsic(ALICE, 1)
    pool.submit(first)
    pool.submit(second)
    pool.report_invalid(hash_of(second))
    assert pool.ready() == [first, second]
    ledger.include(first)
    pool.on_imported(block(1), [first], [])
    pool.report_invalid(hash_of(second))  # now the state itself refuses it
    assert pool.ready() == []
    assert refused(pool, second)[0] == 1012


def test_reporting_a_stranger_does_nothing() -> None:
    pool = Pool(Ledger().validate)
    pool.report_invalid(hash_of(b"never seen"))
    assert pool.submit(extrinsic(ALICE, 0)) == hash_of(extrinsic(ALICE, 0))
