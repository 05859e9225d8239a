"""After a void round a subnet rests until its TRAIN would have ended: rounds follow each other no faster."""

from runtime.frame.declare import Root
from runtime.pallets.training.types import Phase
from runtime.pallets.verification.types import Verdict
from tests.runtime.pallets.training_bench import ASY, NETUID, WINDOWS, Bench
from tests.runtime.pallets.verification.court import Court

TRAIN = WINDOWS["train_window"]


def spin(bench: Bench) -> int:
    """Let miner 0 seal an update that it does not open; return the block in which the round had opened."""
    number, opened = bench.number, bench.round.opened_at
    bench.commit(0)
    bench.run_to(Phase.Idle, number)
    assert (bench.ended(number).phase, bench.ended(number).deadline) == (Phase.Void, opened + TRAIN)
    assert bench.now == opened + 1 + WINDOWS["reveal_window"]
    return opened


def test_a_round_that_is_void_early_is_followed_no_earlier_than_one_without_commits() -> None:
    bench = Bench(1, 1)
    bench.start()
    for number in (2, 3):
        opened = spin(bench)
        bench.run_to(Phase.Train, number)
        assert bench.now == opened + TRAIN


def test_a_round_that_is_void_late_keeps_nobody_waiting() -> None:
    bench = Bench(1, 1)
    bench.start()
    while bench.now < bench.round.opened_at + TRAIN // 2:
        bench.step()
    bench.commit(0)
    bench.run_to(Phase.Train, 2)
    void = bench.ended(1)
    assert void.phase_since == void.deadline == bench.round.opened_at == void.opened_at + TRAIN + 1


def test_audits_go_on_while_a_subnet_rests() -> None:
    court = Court(2, 1, newcomer_rounds=1)
    court.start()
    court.play_one()
    spin(court)
    court.step()
    judge = court.turn(0)
    assert judge is not None
    court.report(0, Verdict.Passed, 1)


def test_leaving_and_coming_back_does_not_end_the_rest() -> None:
    bench = Bench(1, 1)
    bench.start()
    opened = spin(bench)
    miner = bench.miners[0]
    bench.call(miner, "Neurons", "deregister", miner)
    bench.step()
    bench.call(miner, "Neurons", "burned_register", miner, 100 * ASY)
    bench.run_to(Phase.Train, 2)
    assert bench.now == opened + TRAIN


def test_after_a_pause_there_is_no_rest_but_the_warm_up() -> None:
    bench = Bench(1, 1)
    bench.start()
    bench.ext.dispatch(Root(), "Subnets", "pause", NETUID)
    bench.step()
    assert bench.ended(1).deadline == bench.now
    bench.ext.dispatch(Root(), "Subnets", "unpause", NETUID)
    since = bench.now
    bench.run_to(Phase.Train, 2)
    assert bench.now == since + 1 + bench.runtime.training.warm_up
