"""Voters with real keys, guards and disks: their proofs verify, and a restart goes on where it was."""

import asyncio
import heapq
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.consensus.grandpa import driver as driver_module
from chain.consensus.grandpa.commits import Pointless
from chain.consensus.grandpa.driver import VOTER_FILE, Driver
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CommitMessage,
    Forged,
    GossipMessage,
    Neighbor,
    NeighborPacket,
    Unasked,
    Vote,
)
from chain.consensus.grandpa.said import Said
from chain.consensus.grandpa.voter import GOSSIP_DURATION
from chain.consensus.guard import Guard
from chain.env_real import RealDisk
from chain.keys.pair import Keypair
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import (
    Block,
    Commit,
    EquivocationProof,
    GrandpaJustification,
    Precommit,
    Prevote,
    SignedMessage,
    SignedPrecommit,
    localized_payload,
    verify_justification,
)
from runtime.primitives.header import Digest, Header
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import ZERO_HASH, Hash

PAIRS = [Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie", "Dave")]
EQUAL: Authorities = [(pair.public, 1) for pair in PAIRS]
GENESIS = Header(ZERO_HASH, 0, ZERO_HASH, ZERO_HASH, Digest([]))
GENESIS_BLOCK: Block = (GENESIS.hash(), 0)


class LedgerInMemory:
    """A chain of headers, where voters change as the test says; every proof is checked."""

    def __init__(self, authorities: Authorities, change_at: int = 1 << 32) -> None:
        self.authorities = authorities
        self.change_at = change_at
        self.headers = {GENESIS.hash(): GENESIS}
        self.best: Block = (GENESIS.hash(), 0)
        self.proofs: list[GrandpaJustification] = []
        self._final: Block = self.best

    def grow(self, parent: Block | None = None, salt: int = 0) -> Block:
        """Add a block on the best one, or on another."""
        parent = parent or self.best
        state = Hash(bytes([salt]) * 32)
        header = Header(parent[0], parent[1] + 1, state, ZERO_HASH, Digest([]))
        self.headers[header.hash()] = header
        if header.number > self.best[1]:
            self.best = header.hash(), header.number
        return header.hash(), header.number

    def header(self, block: Hash) -> Header | None:
        """Return a header."""
        return self.headers.get(block)

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a block."""
        header = self.headers.get(block)
        return (header.parent_hash, header.number - 1) if header and header.number else None

    def best_containing(self, block: Hash) -> Block | None:
        """Return the best block; there is one chain."""
        return self.best if block in self.headers else None

    def next_change(self, block: Hash) -> int | None:
        """Return where voters change."""
        pending = self._final[1] < self.change_at <= self.headers[block].number
        return self.change_at if pending else None

    def final(self) -> Block:
        """Return the final block."""
        return self._final

    def voters(self) -> tuple[Authorities, int]:
        """Return who votes."""
        return self.authorities, int(self._final[1] >= self.change_at)

    def finalize(self, justification: GrandpaJustification) -> None:
        """Make a block final."""
        commit = justification.commit
        target = commit.target_hash, commit.target_number
        verify_justification(justification, *self.voters(), target)
        assert target[1] > self._final[1]
        self._final = target
        self.proofs.append(justification)


class StepClock:
    """Sleepers wake in order when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def wall_ms(self) -> int:
        """Return milliseconds."""
        return round(self.now * 1000)

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock is there."""
        waiting = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.now + seconds, len(self.sleepers) + id(waiting), waiting))
        await waiting

    async def to(self, moment: float) -> None:
        """Let time pass."""
        await turns()
        while self.sleepers and self.sleepers[0][0] <= moment:
            self.now, _, waiting = heapq.heappop(self.sleepers)
            if not waiting.done():
                waiting.set_result(None)
            await turns()
        self.now = moment


async def turns() -> None:
    """Let every task get as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@dataclass
class Wire:
    """Hands what one driver sends to the others at once."""

    drivers: dict[str, Driver] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)

    def of(self, name: str) -> "Wire.End":
        """Return one driver's end."""
        return Wire.End(self, name)

    @dataclass
    class End:
        """Where one driver speaks."""

        wire: "Wire"
        name: str

        def send(self, message: bytes, peer: str | None) -> None:
            """Send to a peer or to all."""
            self.wire.sent.append(message)
            loop = asyncio.get_running_loop()
            for name, driver in self.wire.drivers.items():
                if name != self.name and peer in (None, name):
                    loop.call_soon(driver.receive, self.name, message)

        def fetch(self, block: Block) -> None:
            """Everybody has every block here."""


@contextmanager
def guarded(home: Path, *pairs: Keypair) -> Iterator[Guard]:
    """Open a guard with records of these keys."""
    guard = Guard.open(RealDisk(home / "guard"))
    for pair in pairs:
        guard.admit_voter(pair.public)
    try:
        yield guard
    finally:
        guard.close()


def disks(home: Path) -> tuple[RealDisk, Said]:
    """Return where a voter keeps its rounds, and where what it has said."""
    return RealDisk(home / "grandpa"), Said(RealDisk(home / "guard"))


async def vote_alone(home: Path, ledger: LedgerInMemory, seconds: float, *pairs: Keypair) -> Driver:
    """Run a node that has these keys for some time."""
    clock = StepClock()
    with guarded(home, *pairs) as guard:
        driver = Driver(ledger, guard, pairs, clock, *disks(home))
        running = asyncio.create_task(driver.run())
        await clock.to(seconds)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return driver


def round_of(driver: Driver) -> int:
    """Return the current round."""
    assert driver.voter is not None
    return driver.voter.round


async def test_one_voter_alone_finalises_one_gossip_duration_after_a_block(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL[:1])
    ledger.grow()
    await vote_alone(tmp_path, ledger, GOSSIP_DURATION - 0.01, PAIRS[0])
    assert ledger.final()[1] == 0
    await vote_alone(tmp_path, ledger, GOSSIP_DURATION, PAIRS[0])
    assert ledger.final() == ledger.best
    assert [proof.round for proof in ledger.proofs] == [1]


async def test_keys_of_three_of_four_voters_decide_together(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL)
    for _ in range(5):
        ledger.grow()
    await vote_alone(tmp_path, ledger, GOSSIP_DURATION, *PAIRS[:3])
    assert ledger.final() == ledger.best
    assert [len(proof.commit.precommits) for proof in ledger.proofs] == [3]


async def test_keys_of_two_of_four_voters_finalise_nothing(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL)
    ledger.grow()
    await vote_alone(tmp_path, ledger, 60, *PAIRS[:2])
    assert ledger.proofs == []


async def test_a_restart_enters_the_round_that_was_saved(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL[:1])
    for expected in (1, 2, 3):
        ledger.grow()
        driver = await vote_alone(tmp_path, ledger, 1, PAIRS[0])
        assert round_of(driver) == expected + 1
        assert ledger.proofs[-1].round == expected


class StoppingDisk(RealDisk):
    """Breaks at the write that the test chose."""

    writes_left = 0

    def replace(self, name: str, content: bytes) -> None:
        """Write a file, or stop."""
        if not self.writes_left:
            raise OSError("the power is gone")
        self.writes_left -= 1
        super().replace(name, content)


async def vote_until_the_power_is_gone(home: Path, ledger: LedgerInMemory, writes: int) -> None:
    """Run a node that decides alone until it has written its file so many times, on two blocks."""
    clock, disk = StepClock(), StoppingDisk(home / "grandpa")
    said = Said(RealDisk(home / "guard"))
    disk.writes_left = writes
    ledger.grow(salt=1)
    with guarded(home, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, PAIRS[:1], clock, disk, said)
        running = asyncio.create_task(driver.run())
        await clock.to(1)
        ledger.grow(salt=1)
        driver.chain_changed()
        await clock.to(2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("writes", range(5))
async def test_a_crash_at_any_write_never_stops_finality(tmp_path: Path, writes: int) -> None:
    """Where nothing was final yet, the best chain is another one after the crash."""
    ledger = LedgerInMemory(EQUAL[:1])
    await vote_until_the_power_is_gone(tmp_path, ledger, writes)
    before = ledger.final()[1]
    if not before:
        ledger.best = (GENESIS.hash(), 0)
        for _ in range(3):
            ledger.grow(salt=2)
    for _ in range(2):
        ledger.grow()
        await vote_alone(tmp_path, ledger, 3, PAIRS[0])
    assert ledger.final()[1] > before


@pytest.mark.parametrize("writes", range(5))
async def test_a_purged_chain_is_finalised_anew_in_later_rounds(tmp_path: Path, writes: int) -> None:
    old = LedgerInMemory(EQUAL[:1])
    await vote_until_the_power_is_gone(tmp_path, old, writes)
    ledger = LedgerInMemory(EQUAL[:1])
    ledger.grow(salt=3)
    await vote_alone(tmp_path, ledger, 3, PAIRS[0])
    assert ledger.final() == ledger.best
    assert ledger.proofs[-1].round > max((proof.round for proof in old.proofs), default=0)


async def test_without_its_file_a_deciding_voter_goes_on_after_what_it_signed(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL[:1])
    ledger.grow()
    await vote_alone(tmp_path, ledger, 1, PAIRS[0])
    (tmp_path / "grandpa" / VOTER_FILE).write_bytes(b"damaged" * 20)
    ledger.grow()
    await vote_alone(tmp_path, ledger, 1, PAIRS[0])
    assert [proof.round for proof in ledger.proofs] == [1, 2]


async def test_votes_of_a_round_are_said_again_when_all_but_the_guard_is_lost(tmp_path: Path) -> None:
    """The guard alone would know the precommit only, and refuse the prevote that others need."""
    ledger, wire, clock = LedgerInMemory(EQUAL), Wire(), StepClock()
    target = ledger.grow()
    with guarded(tmp_path, PAIRS[0]) as guard:
        for _ in range(2):
            driver = Driver(ledger, guard, PAIRS[:1], clock, *disks(tmp_path), wire.of("v0"))
            running = asyncio.create_task(driver.run())
            await turns()
            for pair in PAIRS[1:3]:
                vote = Prevote(*target)
                signature = pair.sign(localized_payload(vote, 1, 0))
                message = Vote(1, 0, SignedMessage(vote, signature, pair.public))
                driver.receive("peer", GOSSIP_MESSAGE.encode(message))
            await clock.to(clock.monotonic() + 3)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            (tmp_path / "grandpa" / VOTER_FILE).unlink()
            own, wire.sent = {message for message in wire.sent if message[0] == 0}, []
            votes = [GOSSIP_MESSAGE.decode(message).message.message for message in sorted(own)]
            assert sorted(votes, key=repr) == [Precommit(*target), Prevote(*target)]


async def test_a_new_set_begins_with_round_one_and_nobody_votes_past_the_change(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL[:1], change_at=2)
    for _ in range(4):
        ledger.grow()
    driver = await vote_alone(tmp_path, ledger, 2, PAIRS[0])
    assert [(proof.round, proof.commit.target_number) for proof in ledger.proofs] == [(1, 2), (1, 4)]
    assert driver.voter is not None
    assert driver.voter.set_id == 1


async def test_a_key_that_comes_later_votes_from_then_on(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL[:1])
    ledger.grow()
    keys: list[Keypair] = []
    clock = StepClock()
    with guarded(tmp_path, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, keys, clock, *disks(tmp_path))
        running = asyncio.create_task(driver.run())
        await clock.to(0.1)
        keys.append(PAIRS[0])
        driver.chain_changed()
        await clock.to(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert ledger.final() == ledger.best


async def test_four_nodes_finalise_by_gossip(tmp_path: Path) -> None:
    ledgers = [LedgerInMemory(EQUAL) for _ in PAIRS]
    clock, wire = StepClock(), Wire()
    guards = [guarded(tmp_path / str(index), pair) for index, pair in enumerate(PAIRS)]
    for index, (pair, ledger, guard) in enumerate(zip(PAIRS, ledgers, guards, strict=True)):
        wire.drivers[f"v{index}"] = Driver(
            ledger, guard.__enter__(), [pair], clock, *disks(tmp_path / str(index)), wire.of(f"v{index}")
        )
    running = [asyncio.create_task(driver.run()) for driver in wire.drivers.values()]
    for number in range(1, 4):
        for ledger, driver in zip(ledgers, wire.drivers.values(), strict=True):
            ledger.grow()
            driver.chain_changed()
        await clock.to(number * 2.0)
    assert [ledger.final()[1] for ledger in ledgers] == [3] * 4
    assert all(proof.commit.precommits for ledger in ledgers for proof in ledger.proofs)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for guard in guards:
        guard.__exit__(None, None, None)


async def test_forged_and_undecodable_messages_are_refused_and_other_sets_ignored(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL)
    clock = StepClock()
    with guarded(tmp_path, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, PAIRS[:1], clock, *disks(tmp_path))
        running = asyncio.create_task(driver.run())
        await turns()
        vote = SignedMessage(Prevote(*ledger.best), bytes(64), PAIRS[1].public)
        with pytest.raises(Forged):
            driver.receive("peer", GOSSIP_MESSAGE.encode(Vote(1, 0, vote)))
        with pytest.raises(DecodeError):
            driver.receive("peer", b"\x09")
        with pytest.raises(Forged, match="there are fewer voters"):  # and nobody has decoded it
            driver.receive("peer", b"\x01" + bytes(1 << 20))
        driver.receive("peer", GOSSIP_MESSAGE.encode(Vote(1, 7, vote)))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def signed_for(pair: Keypair, target: Block) -> SignedPrecommit:
    """Return a precommit in round 9 of set 0."""
    vote = Precommit(*target)
    return SignedPrecommit(vote, pair.sign(localized_payload(vote, 9, 0)), pair.public)


def floods(known: Block, fork: Block) -> list[tuple[type[Exception] | None, GossipMessage]]:
    """Return messages full of good signatures that prove nothing, and what each is refused with."""
    unknown = Hash(bytes(32)), known[1]
    mallory = Keypair.from_suri("//Mallory", "ed25519")
    stranger, *voters = [signed_for(pair, unknown) for pair in (mallory, *PAIRS)]
    there = [signed_for(pair, known) for pair in PAIRS]
    split = [signed_for(pair, fork if place % 2 else known) for place, pair in enumerate(PAIRS)]
    half = [*there[:2], *voters[2:]]
    commits: list[tuple[type[Exception] | None, Block, list[SignedPrecommit]]] = [
        (Forged, unknown, [*voters, stranger]),
        (Forged, unknown, [*voters, voters[0], voters[0]]),
        (None, (unknown[0], 0), voters),
        (Pointless, unknown, voters[:2]),  # too few
        (Pointless, unknown, there),  # votes for a block that is known, so all below it is
        (Pointless, unknown, half),
        (Pointless, known, split),
        (Pointless, fork, there),
        (None, known, [*there[:2], *voters[2:]]),  # a block is missing that might be above it
        (None, (unknown[0], known[1] + 1), voters),  # votes for lower blocks
    ]
    return [
        *((refusal, CommitMessage.of(9, 0, Commit(*target, votes))) for refusal, target, votes in commits),
        (Unasked, CatchUp(0, 9, [], voters, *known)),
    ]


async def test_no_time_is_spent_on_signatures_that_can_prove_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make good signatures with keys of its own, and copy those of voters."""
    ledger = LedgerInMemory(EQUAL)
    known, fork = ledger.grow(GENESIS_BLOCK, 1), ledger.grow(GENESIS_BLOCK, 2)
    with guarded(tmp_path, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, PAIRS[:1], StepClock(), *disks(tmp_path))
        running = asyncio.create_task(driver.run())
        await turns()
        looked_at: list[object] = []
        monkeypatch.setattr(driver_module, "check_signatures", looked_at.append)
        for refusal, message in floods(known, fork):
            with pytest.raises(refusal) if refusal else nullcontext():
                assert not driver.receive("peer", GOSSIP_MESSAGE.encode(message))
        assert looked_at == []
        proof = CommitMessage.of(9, 0, Commit(*known, [signed_for(pair, known) for pair in PAIRS]))
        assert driver.receive("peer", GOSSIP_MESSAGE.encode(proof))
        assert looked_at == [proof]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_catch_up_is_read_once_for_each_time_it_was_asked_for(tmp_path: Path) -> None:
    ledger = LedgerInMemory(EQUAL)
    block = ledger.grow(GENESIS_BLOCK, 1)
    answer = GOSSIP_MESSAGE.encode(CatchUp(0, 9, [], [signed_for(PAIRS[1], block)], *GENESIS_BLOCK))
    with guarded(tmp_path, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, PAIRS[:1], StepClock(), *disks(tmp_path))
        running = asyncio.create_task(driver.run())
        await turns()
        driver.receive("peer", GOSSIP_MESSAGE.encode(Neighbor(NeighborPacket(10, 0, 0))))
        with pytest.raises(Unasked):
            driver.receive("other", answer)
        driver.receive("peer", answer)
        with pytest.raises(Unasked):
            driver.receive("peer", answer)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_two_votes_of_a_voter_in_a_phase_are_all_that_is_passed_on(tmp_path: Path) -> None:
    """A voter can sign for as many blocks as it likes, and one vote in as many ways."""
    ledger = LedgerInMemory(EQUAL)
    targets = [ledger.grow(GENESIS_BLOCK, salt) for salt in range(1, 5)]
    with guarded(tmp_path, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, PAIRS[:1], StepClock(), *disks(tmp_path))
        running = asyncio.create_task(driver.run())
        await turns()
        for round_ in (1, 2):  # the current one, and the next
            passed = []
            for target in (targets[0], targets[0], *targets[1:]):
                vote = Precommit(*target)
                signature = PAIRS[1].sign(localized_payload(vote, round_, 0))
                message = Vote(round_, 0, SignedMessage(vote, signature, PAIRS[1].public))
                passed.append(driver.receive("peer", GOSSIP_MESSAGE.encode(message)))
            assert passed == [True, False, True, False, False]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_votes_twice_is_accused_with_both_votes(tmp_path: Path) -> None:
    ledger, clock, accused = LedgerInMemory(EQUAL), StepClock(), list[EquivocationProof]()
    targets = [ledger.grow(GENESIS_BLOCK, salt) for salt in (1, 2)]
    with guarded(tmp_path, PAIRS[0]) as guard:
        driver = Driver(ledger, guard, PAIRS[:1], clock, *disks(tmp_path), accuse=accused.append)
        running = asyncio.create_task(driver.run())
        await turns()
        for target in (*targets, targets[0]):
            vote = Prevote(*target)
            signature = PAIRS[1].sign(localized_payload(vote, 1, 0))
            message = Vote(1, 0, SignedMessage(vote, signature, PAIRS[1].public))
            driver.receive("peer", GOSSIP_MESSAGE.encode(message))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    (proof,) = accused
    assert proof.is_valid()
    assert (proof.set_id, proof.equivocation.identity) == (0, PAIRS[1].public)
    assert [vote.target_hash for vote, _ in (proof.equivocation.first, proof.equivocation.second)] == [
        target for target, _ in targets
    ]


async def handed_over(tmp_path: Path, late: int | None = None) -> tuple[list[LedgerInMemory], Wire]:
    """Run four nodes through a change of voters at block 2; one of them hears of nothing until 3 s."""
    ledgers = [LedgerInMemory(EQUAL, change_at=2) for _ in PAIRS]
    clock, wire = StepClock(), Wire()
    with ExitStack() as opened:
        for index, (pair, ledger) in enumerate(zip(PAIRS, ledgers, strict=True)):
            guard = opened.enter_context(guarded(tmp_path / str(index), pair))
            home, name = tmp_path / str(index), f"v{index}"
            wire.drivers[name] = Driver(ledger, guard, [pair], clock, *disks(home), wire.of(name))
        away = None if late is None else (f"v{late}", wire.drivers.pop(f"v{late}"))
        drivers = [*wire.drivers.values(), *([] if away is None else [away[1]])]
        running = [asyncio.create_task(driver.run()) for driver in drivers]
        for ledger in ledgers:
            for _ in range(4):
                ledger.grow()
        for driver in drivers:
            driver.chain_changed()
        await clock.to(3)
        if away is not None:
            wire.drivers[away[0]] = away[1]
        await clock.to(20)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return ledgers, wire


async def test_all_nodes_hand_over_to_the_next_set_and_one_commit_tells_it(tmp_path: Path) -> None:
    ledgers, wire = await handed_over(tmp_path)
    assert [[proof.commit.target_number for proof in ledger.proofs] for ledger in ledgers] == [[2, 4]] * 4
    told = [
        message for message in map(GOSSIP_MESSAGE.decode, wire.sent) if isinstance(message, CommitMessage)
    ]
    assert [(each.set_id, each.message.target_number) for each in told] == [(0, 2), (1, 4)]


async def test_a_node_that_missed_the_end_of_a_set_is_taken_along(tmp_path: Path) -> None:
    """Its neighbour packet names the old set: whoever has left that answers with the commit that ended it."""
    ledgers, _ = await handed_over(tmp_path, late=3)
    assert [ledger.final()[1] for ledger in ledgers] == [4] * 4
    assert [proof.commit.target_number for proof in ledgers[3].proofs] == [2, 4]


@pytest.mark.parametrize("writes", range(6))
async def test_a_crash_at_any_write_around_a_change_of_voters_stops_nothing(
    tmp_path: Path, writes: int
) -> None:
    ledger = LedgerInMemory(EQUAL[:1], change_at=1)
    await vote_until_the_power_is_gone(tmp_path, ledger, writes)
    for _ in range(2):
        ledger.grow()
        driver = await vote_alone(tmp_path, ledger, 3, PAIRS[0])
    assert (ledger.final(), round_of(driver) > 1) == (ledger.best, True)
    assert driver.voter is not None
    assert driver.voter.set_id == 1
    rounds = [proof.round for proof in ledger.proofs if proof.commit.target_number > 1]
    assert rounds == sorted(rounds)
    assert rounds[0] <= 2  # the crash may have come between a vote of round 1 and the record of it
