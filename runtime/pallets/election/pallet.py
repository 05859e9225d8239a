"""ElectionProvider: elects validators over several blocks, each bounded by a weight.

    Off -> Snapshot (candidates, then a page of voters at a time) -> Electing (some seats at a time)
        -> Assigning (whom some voters at a time stand behind) -> Done

What Staking says while the snapshot is taken decides, whatever happens to the stakes afterwards; it is for
Staking to leave out of the result whom it has chilled since. Pages never change once they are written, and
what moves is small, a Tally and then a Backing: any node goes on from any block.
Source: words of FRAME's pallet-election-provider-multi-block; phragmen.py, reduce.py.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Protocol

from runtime.frame.declare import READ, WRITE, constant, coupled, db, event
from runtime.frame.errors import NoError
from runtime.frame.memo import Memo
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.pallets.election.phragmen import MAX_VOTES, Page, Tally, Voter, parts, seat
from runtime.pallets.election.reduce import Backing, Support, back, behind, supports
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Variants, u32, u64, variant
from runtime.primitives.types import MAX_WEIGHT, AccountId, Balance, Weight

KEPT = 64
"""Pages remembered in decoded form."""
MICROSECOND = 1_000_000
"""ps"""
TARGET = 2 * READ
"""ps to read a candidate: its entry among the validators, and the key before it."""
VOTER = 3 * READ
"""ps to read a voter: its nominations, its ledger, and the key before them."""
DECODE = 8 * MICROSECOND
"""ps to decode a voter of a page; nothing of this where the page is still known."""
VOTE = MICROSECOND // 2
"""ps to charge a vote when a seat is taken, or to weigh a candidate for it."""
STEP = MICROSECOND
"""ps for a step on the way around a circle of voters and candidates."""


@variant
class Off:
    """No election is going on."""


@variant
class Snapshot:
    """Candidates and voters are written down, in so many steps so far: candidates, then pages of voters."""

    _0: u32


@variant
class Electing:
    """Seats are being filled."""


@variant
class Assigning:
    """The seats are filled; voters are assigned to those elected."""


@variant
class Done:
    """The result waits to be taken."""


Phase = Annotated[Off | Snapshot | Electing | Assigning | Done, Variants("pallet_election::Phase")]


@event
class PhaseTransitioned:
    """There was a phase transition in a given round."""

    from_: Phase
    to: Phase
    round: u32


@event
class ElectionFinalized:
    """The result of a round was taken: how many validators, the least and the sum of their stakes."""

    round: u32
    winners: u32
    minimal_stake: Balance
    sum_stake: Balance


Ballot = tuple[AccountId, Balance, list[AccountId]]
"""A voter, its stake in planck, and for whom it votes."""


class Voters(Protocol):
    """Who votes for whom: the Staking pallet."""

    def electable_targets(self, after: AccountId | None, limit: int) -> list[AccountId]:
        """Return so many candidates that come after one, in the order of their keys."""
        ...

    def voters_page(self, after: AccountId | None, limit: int) -> list[Ballot]:
        """Return so many voters that come after one, in the order of their keys."""
        ...

    def desired_targets(self) -> int:
        """Return how many are to be elected."""
        ...


class ElectionProvider(Pallet[PhaseTransitioned | ElectionFinalized, NoError]):
    """Snapshot of candidates and voters, and the election that goes on over it.

    Staking admits fewer nominators and candidates than a snapshot holds; of any others it takes no notice.
    """

    voters: Voters = coupled()

    block_budget: u64 = constant(100_000 * MICROSECOND)  # ps; not counting what it takes to read the snapshot
    pages: u32 = constant(20)
    voter_snapshot_per_block: u32 = constant(512)
    target_snapshot_per_block: u32 = constant(1_024)

    round: Value[u32] = storage(default=0)
    current_phase: Value[Phase] = storage(default=Off())
    desired_targets: Value[u32] = storage(default=0)
    target_snapshot: Value[list[AccountId]] = storage(default=[])
    paged_voter_snapshot: Map[u32, list[Voter]] = storage(hasher=twox_64_concat)
    last_voter: Value[AccountId] = storage()
    tally: Value[Tally] = storage()
    backing: Value[Backing] = storage()
    outside_work: Value[u64] = storage(default=0)

    def on_initialize(self, now: int) -> Weight:
        """Go on with the election as far as a block's budget reaches."""
        outside = self.outside_work.find() or 0
        if outside:
            self.outside_work.kill()
        return db(reads=2) + Weight(outside + self._work(), 0)

    def _work(self) -> int:
        """Take the next steps while there is budget; return ps."""
        spent = 0
        while spent < self.block_budget:
            match self.current_phase.get():
                case Snapshot(0):
                    spent += self._take_candidates()
                case Snapshot(steps):
                    spent += self._take_voters(steps - 1)
                case Electing():
                    spent += self._fill_seats(self.block_budget - spent)
                case Assigning():
                    spent += self._assign(self.block_budget - spent)
                case _:
                    break
        return spent

    # What Staking asks.

    def start(self) -> None:
        """Begin anew, whatever was going on; the work follows in on_initialize."""
        self._end()
        self.round.put(self.round.get() + 1)
        self.desired_targets.put(self.voters.desired_targets())
        self._enter(Snapshot(0))

    def is_ongoing(self) -> bool:
        """Say whether a snapshot is written or held: whom it names may yet be exposed by what it says."""
        return not isinstance(self.current_phase.get(), Off)

    def elect(self) -> list[Support] | None:
        """Take the result, in the order of election; None while there is none."""
        if not isinstance(self.current_phase.get(), Done):
            return None
        voters = everybody(self._pages())
        found = supports(self.backing.get(), voters, self.target_snapshot.get(), self.tally.get().elected())
        self.outside_work.put(self.outside_work.get() + 2 * DECODE * len(voters))
        totals = [support.total for support in found]
        self.deposit(ElectionFinalized(self.round.get(), len(found), min(totals, default=0), sum(totals)))
        self._end()
        return found

    def elect_now(self) -> list[Support]:
        """Elect at once, without a bound; for genesis, where no block has to be made in time."""
        candidates = self._candidates()
        pages: list[Page] = []
        after = None
        while listed := self._listed(len(pages), after):
            pages.append(Page.of(ballots(listed, candidates)))
            after = listed[-1][0]
        tally = Tally.begin(len(candidates), pages)
        left = self.voters.desired_targets()
        while left > 0 and (seated := seat(tally, pages)):
            tally, _ = seated
            left -= 1
        voters = everybody(pages)
        backing, _ = back(Backing([], []), voters, tally.scores, MAX_WEIGHT)
        return supports(backing, voters, candidates, tally.elected())

    # The steps.

    def _take_candidates(self) -> int:
        """Write down who may be elected; return ps."""
        candidates = self._candidates()
        self.target_snapshot.put(candidates)
        self._enter(Snapshot(1))
        return TARGET * len(candidates) + WRITE

    def _candidates(self) -> list[AccountId]:
        """Return who may be elected, by account: the lower one wins a tie."""
        return sorted(self.voters.electable_targets(None, self.target_snapshot_per_block))

    def _take_voters(self, number: int) -> int:
        """Write down the next page of voters, or go on to the seats where there is none; return ps."""
        listed = self._listed(number, self.last_voter.find())
        if listed:
            self.paged_voter_snapshot[number] = ballots(listed, self.target_snapshot.get())
            self.last_voter.put(listed[-1][0])
            self._enter(Snapshot(number + 2))
        else:
            self.last_voter.kill()
            self._enter(Electing())
        return VOTER * len(listed) + READ + WRITE

    def _listed(self, number: int, after: AccountId | None) -> list[Ballot]:
        """Return the voters of a page; none where the snapshot holds no more pages."""
        return self.voters.voters_page(after, self.voter_snapshot_per_block) if number < self.pages else []

    def _fill_seats(self, budget: int) -> int:
        """Fill one seat, and more while there is budget; return ps."""
        pages, candidates = self._pages(), len(self.target_snapshot.get())
        tally = self.tally.find() or Tally.begin(candidates, pages)
        left, spent = self.desired_targets.get() - len(tally.elected()), 0
        while left > 0 and (seated := seat(tally, pages)):
            tally, votes = seated
            left -= 1
            spent += VOTE * (votes + candidates)
            if left and spent >= budget:
                break
        else:
            self._enter(Assigning())
        self.tally.put(tally)
        return spent + DECODE * len(everybody(pages)) + WRITE

    def _assign(self, budget: int) -> int:
        """Say whom one voter stands behind, and others while there is budget; return ps."""
        voters, known = everybody(self._pages()), self.backing.find() or Backing([], [])
        backing, steps = back(known, voters, self.tally.get().scores, budget // STEP)
        self.backing.put(backing)
        if len(backing.single) == len(voters):
            self._enter(Done())
        return STEP * steps + DECODE * len(voters) + WRITE

    def _pages(self) -> list[Page]:
        raw_keys = (self.paged_voter_snapshot.raw_key(number) for number in range(self.pages))
        written = (self.host.overlay.get(raw_key) for raw_key in raw_keys)
        return [_PAGES[raw] for raw in written if raw is not None]

    def _enter(self, phase: Off | Snapshot | Electing | Assigning | Done) -> None:
        left = self.current_phase.get()
        self.current_phase.put(phase)
        if type(left) is not type(phase):
            self.deposit(PhaseTransitioned(left, phase, self.round.get()))

    def _end(self) -> None:
        for number in list(self.paged_voter_snapshot.keys()):
            del self.paged_voter_snapshot[number]
        for each in (self.desired_targets, self.target_snapshot, self.last_voter, self.tally, self.backing):
            each.kill()
        self._enter(Off())

    def try_state(self) -> None:
        """Nothing is kept between elections; seats and sums are those of the snapshot."""
        phase, pages, tally = self.current_phase.get(), self._pages(), self.tally.find()
        candidates = self.target_snapshot.get()
        if isinstance(phase, Off):
            assert not pages
            assert not candidates
        assert self.last_voter.exists() == (isinstance(phase, Snapshot) and len(pages) > 0)
        whos = [voter.who for page in pages for voter in page.voters]
        assert len(set(whos)) == len(whos), "a voter votes twice"
        if tally is None:
            return
        assert isinstance(phase, Electing | Assigning | Done)
        assert tally.stakes == Tally.begin(len(candidates), pages).stakes
        assert len(tally.elected()) <= self.desired_targets.get()
        charges = [0] * len(candidates)
        for page in pages:
            for voter in page.voters:
                load = max([tally.scores[target] for target in voter.targets], default=0)
                for target in voter.targets:
                    charges[target] += voter.stake * load
        open_ = [at for at, score in enumerate(tally.scores) if not score]
        assert [tally.charges[at] for at in open_] == [charges[at] for at in open_]
        backing = self.backing.find() or Backing([], [])
        split = [0] * len(candidates)
        for voter in everybody(pages)[: len(backing.single)]:
            for at, value in parts(voter, tally.scores):
                split[at] += value
        assert behind(backing, everybody(pages), len(candidates)) == split


_PAGES = Memo(lambda raw: Page.of(codec(list[Voter]).decode(raw)), KEPT)
"""Pages by their bytes: they are the same in every block of an election."""


def everybody(pages: Iterable[Page]) -> list[Voter]:
    """Return the voters of all pages, in order."""
    return [voter for page in pages for voter in page.voters]


def ballots(listed: Sequence[Ballot], candidates: Sequence[AccountId]) -> list[Voter]:
    """Return voters with the candidates they name by index; names that are no candidates' are left out."""
    index = {candidate: at for at, candidate in enumerate(candidates)}
    return [
        Voter(who, stake, sorted({index[name] for name in named if name in index})[:MAX_VOTES])
        for who, stake, named in listed
    ]
