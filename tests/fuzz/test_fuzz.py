"""Every decoder takes a few thousand mutated inputs; the long form is `make fuzz`."""

import time
from collections.abc import Iterator

import pytest

from tests.fuzz.engine import LIMIT, Finding, Target, campaign
from tests.fuzz.targets import all_targets, leave


@pytest.fixture(scope="module", autouse=True)
def _node_is_stopped() -> Iterator[None]:
    yield
    leave()


@pytest.mark.parametrize("name", all_targets())
def test_decoder_holds(name: str) -> None:
    target = all_targets()[name]
    report = campaign(target, target.quick, seed=1)
    assert report.kinds > 1, "all inputs met the same fate: the corpus leads nowhere"


@pytest.mark.parametrize("name", all_targets())
def test_a_target_writes_again_what_it_reads_or_says_why_not(name: str) -> None:
    target = all_targets()[name]
    assert (target.encode is None) == bool(target.why_loose)


def test_the_seeds_are_encodings() -> None:
    """Mutations of what is refused at once would try nothing."""
    hollow = {"trie.proof"}  # its second seed is the empty proof
    for name, target in all_targets().items():
        taken = []
        for seed in target.seeds:
            try:
                target.decode(seed)
            except target.refusals:
                continue
            taken.append(seed)
        assert taken, name
        if target.encode is not None and name not in hollow:
            assert len(taken) * 2 > len(target.seeds), name


def test_the_engine_sees_what_it_must() -> None:
    """A decoder that crashes, one that forgets a byte and one that is slow."""

    def crashes(data: bytes) -> int:
        return data[3]

    def forgets(data: bytes) -> bytes:
        return data[:4]

    def dawdles(data: bytes) -> int:
        until = time.thread_time() + (1.5 * LIMIT if len(data) > 4 else 0)
        while time.thread_time() < until:
            pass  # on a fast machine any fixed work may be done in time
        return len(data)

    for decode, encode, why in ((crashes, None, "loose"), (forgets, bytes, ""), (dawdles, None, "loose")):
        with pytest.raises(Finding):
            campaign(Target("wrong", decode, (), (b"seed",), encode, why), 2_000, seed=1)


def test_a_campaign_can_be_repeated() -> None:
    seen: list[list[bytes]] = [[], []]
    for run in seen:
        campaign(Target("same", run.append, (), (b"seed",), None, "any"), 500, seed=3)
    assert seen[0] == seen[1]
