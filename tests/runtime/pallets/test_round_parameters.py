"""What a round is made of is written down with it; a subnet's first model is its owner's to name."""

from runtime.frame.declare import Root
from runtime.frame.testing import assert_noop
from runtime.pallets.model_updates.types import Error as UpdateError
from runtime.pallets.subnets.messages import Error as SubnetError
from runtime.pallets.subnets.numbers import FIXED, Parameter
from runtime.pallets.subnets.types import Kind
from runtime.pallets.training.parameters import parameter_set
from runtime.pallets.training.types import Error, ModelFounded, Phase
from runtime.pallets.verification.types import Verdict
from runtime.primitives.commitments import update_commitment
from runtime.primitives.types import Hash
from tests.runtime.pallets.training_bench import (
    DATA_ROOT,
    FIRST_ROOT,
    NETUID,
    OWNER,
    SALT,
    STRANGER,
    URL,
    Bench,
    root_of,
)
from tests.runtime.pallets.verification.court import Court

OTHER = 2
"""the subnet that a running chain creates"""


def change(bench: Bench, parameter: Parameter, value: int) -> None:
    """Have the owner change a hyperparameter, as soon as it may, and wait until it is in force."""
    subnets = bench.runtime.subnets
    while NETUID in subnets.epochs_ended.get() or subnets.next_epoch(NETUID, bench.now) - bench.now <= 2:
        bench.step()
        subnets = bench.runtime.subnets
    bench.call(OWNER, "Subnets", "set_hyperparameter", parameter, value)
    for _ in range(8):
        if getattr(bench.runtime.subnets.parameters(NETUID), parameter.name) == value:
            return
        bench.step()
    raise AssertionError(f"{parameter} did not come into force")


def test_rounds_share_a_version_until_a_number_changes() -> None:
    bench = Bench(1, 1, tempo=6, train_window=20)
    bench.start()
    bench.play(root_of(1))
    before = parameter_set(bench.runtime.subnets.parameters(NETUID))
    change(bench, Parameter.evaluation_sequences, 32)
    number = bench.number
    assert bench.round.parameters == 1  # open when it changed
    assert bench.runtime.training.numbers_of(NETUID, number) == before
    bench.run_to(Phase.Train, number + 1)
    bench.play(root_of(2))
    versions = [bench.ended(each).parameters for each in (1, number, number + 1, number + 2)]
    assert versions == [1, 1, 2, 2]
    training = bench.runtime.training
    assert [training.lineage[NETUID, each].parameters for each in (1, number + 1)] == [1, 2]
    assert training.parameter_sets[NETUID, 1] == before
    after = parameter_set(bench.runtime.subnets.parameters(NETUID))
    assert training.parameter_sets[NETUID, 2] == after
    assert {each.parameter for each in after if each not in before} == {Parameter.evaluation_sequences}


def test_numbers_that_have_nothing_to_do_with_training_make_no_version() -> None:
    bench = Bench(1, 1, tempo=6)
    bench.start()
    change(bench, Parameter.train_window, 9)
    bench.run_to(Phase.Train, bench.number + 1)
    assert bench.round.deadline - bench.round.opened_at == 9
    assert bench.round.parameters == 1


def test_a_payload_may_be_as_long_as_when_the_round_opened() -> None:
    bench = Bench(1, 1, max_payload_bytes=1_000, train_window=20, tempo=6)
    bench.start()
    bench.step()
    change(bench, Parameter.max_payload_bytes, 2_000)
    assert (bench.phase, bench.number) == (Phase.Train, 1)
    who, digest, ef_digest = bench.miners[0], Hash(b"\x0d" * 32), Hash(bytes(32))
    for length, number in ((1_001, 1), (2_000, 2)):
        commitment = update_commitment(
            bench.genesis_hash, NETUID, number, who, SALT, digest, length, ef_digest
        )
        bench.call(who, "ModelUpdates", "commit", number, commitment)
        bench.run_to(Phase.Reveal, number)
        opened = (digest, length, ef_digest, SALT)
        if length == 1_001:
            call = (who, "ModelUpdates", "reveal", NETUID, number, *opened)
            assert_noop(bench.ext, *call, error=UpdateError.PayloadTooLarge)
            bench.run_to(Phase.Train, 2)
        else:
            bench.call(who, "ModelUpdates", "reveal", number, *opened)
    numbers = [bench.runtime.training.number(NETUID, each, Parameter.max_payload_bytes) for each in (1, 2)]
    assert numbers == [1_000, 2_000]


def test_the_shape_of_a_model_never_changes() -> None:
    bench = Bench(1, 1)
    for name in sorted(FIXED):
        call = (OWNER, "Subnets", "set_hyperparameter", NETUID, Parameter[name], 1)
        assert_noop(bench.ext, *call, error=SubnetError.FixedAtCreation)


def test_a_subnet_made_on_a_running_chain_begins_with_the_model_that_its_owner_names() -> None:
    bench = Bench(1, 1)
    bench.ext.dispatch(Root(), "Subnets", "create", Kind.Training, OWNER, [])
    found = (OTHER, root_of(7))
    assert_noop(bench.ext, STRANGER, "Training", "found_model", *found, error=Error.NotOwner)
    bench.ext.dispatch(OWNER, "Training", "found_model", OTHER, root_of(6))
    bench.ext.dispatch(OWNER, "Training", "found_model", *found)  # until a round opens, it may say otherwise
    assert bench.ext.new_events()[-1] == ModelFounded(*found)
    assert bench.runtime.training.model_root[OTHER] == root_of(7)


def test_no_round_opens_before_there_is_a_model() -> None:
    bench = Bench(1, 1, founded=False)
    bench.call(OWNER, "Training", "set_dataset", DATA_ROOT, URL)
    for _ in range(8):
        bench.step()
    assert (bench.phase, bench.number) == (Phase.Idle, 0)
    bench.call(OWNER, "Training", "found_model", root_of(7))
    bench.run_to(Phase.Train, 1)
    assert bench.round.base_root == root_of(7)
    bench.play(root_of(8))
    assert bench.runtime.training.lineage[NETUID, 1].base_root == root_of(7)


def test_a_model_that_a_round_builds_on_is_not_replaced() -> None:
    bench = Bench(1, 1)
    bench.start()
    call = (OWNER, "Training", "found_model", NETUID, root_of(7))
    assert_noop(bench.ext, *call, error=Error.RoundsBegan)
    bench.run_to(Phase.Train, 2)  # the first round was void
    assert_noop(bench.ext, *call, error=Error.RoundsBegan)
    assert bench.runtime.training.model_root[NETUID] == FIRST_ROOT


def test_what_trains_nothing_has_no_model() -> None:
    bench = Bench(1, 1)
    bench.ext.dispatch(Root(), "Subnets", "create", Kind.Inference, OWNER, [])
    assert_noop(bench.ext, OWNER, "Training", "found_model", OTHER, root_of(7), error=Error.NotTraining)
    assert_noop(bench.ext, OWNER, "Training", "found_model", 9, root_of(7), error=Error.NotTraining)


def test_an_owner_cannot_fail_those_afterwards_who_were_good_enough() -> None:
    court = Court(4, 1, tempo=6, train_window=20)
    court.start()
    court.play_one()
    change(court, Parameter.overlap_ppm, 1_000_000)
    assert court.number == 2
    court.report(0, Verdict.Passed, overlap=900_000)
    assert court.audit(0) is None
    assert court.standing(0).audited == 1


def test_an_owner_cannot_spare_a_judge_afterwards() -> None:
    court = Court(5, 1, tempo=6, train_window=20, newcomer_rounds=0)
    court.start()
    court.play_one()
    court.challenge(court.miners[0], 0, 0)
    court.step()
    challenge = court.case(0, 0)
    assert challenge is not None
    change(court, Parameter.tolerance_ppm, 1_000_000)
    claimed = challenge.claimed
    for juror in challenge.jurors:
        court.vote(juror.uid, 0, 0, claimed.loss_before, claimed.loss_before - 1_000, claimed.alignment)
    assert court.runtime.verification.voided[NETUID, 1, 0]
