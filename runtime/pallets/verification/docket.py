"""What is open and what waits: seats, the agenda of the next blocks, and how much a subnet may have open."""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.frame.storage import Map, Value
from runtime.pallets.verification.couplings import NeuronsOf, PayOf, RoundsOf
from runtime.pallets.verification.lots import Candidate
from runtime.pallets.verification.types import Job, Seat
from runtime.primitives.types import AccountId


@dataclass(frozen=True, slots=True)
class Docket:
    """The agenda, and how many audits and challenges are open in each subnet."""

    agenda: Value[list[Job]]
    count: Map[int, int]
    most: int

    def plan(self, job: Job) -> None:
        """Leave something to the next blocks."""
        self.agenda.put([*self.agenda.get(), job])

    def has_room(self, netuid: int) -> bool:
        """Say whether one more may be opened."""
        return self.count[netuid] < self.most

    def has_room_for_doubt(self, netuid: int) -> bool:
        """Say whether a challenge may be opened: half of the room is for audits alone."""
        return self.count[netuid] < -(-self.most // 2)

    def open(self, netuid: int) -> None:
        """Count one more."""
        self.count[netuid] = self.count[netuid] + 1

    def close(self, netuid: int) -> None:
        """Count one less."""
        left = self.count[netuid] - 1
        if left:
            self.count[netuid] = left
        else:
            del self.count[netuid]


@dataclass(frozen=True, slots=True)
class Seats:
    """Who holds which uid, and who may be drawn."""

    training: RoundsOf
    neurons: NeuronsOf
    incentive: PayOf

    def of(self, netuid: int, hotkey: AccountId) -> Seat | None:
        """Return the seat of a hotkey."""
        uid = self.neurons.uid_of(netuid, hotkey)
        return None if uid is None else self.at(netuid, uid)

    def at(self, netuid: int, uid: int) -> Seat | None:
        """Return who holds a uid now."""
        neuron = self.neurons.neuron(netuid, uid)
        return None if neuron is None else Seat(uid, neuron.registered_at)

    def is_held(self, netuid: int, seat: Seat) -> bool:
        """Say whether a seat is held by who held it then."""
        return self.at(netuid, seat.uid) == seat

    def coldkeys(self, netuid: int, seats: Sequence[Seat]) -> list[AccountId]:
        """Return who owns seats, as far as they are held by who held them then."""
        neurons = [self.neurons.neuron(netuid, seat.uid) for seat in seats if self.is_held(netuid, seat)]
        return [neuron.coldkey for neuron in neurons if neuron is not None]

    def candidates(self, netuid: int) -> list[Candidate]:
        """Return the permit holders with stake, ascending."""
        stakes, found = self.neurons.stakes(netuid), list[Candidate]()
        for uid in self.incentive.permitted(netuid):
            neuron = self.neurons.neuron(netuid, uid)
            if neuron is not None and stakes.get(uid):
                found.append(Candidate(Seat(uid, neuron.registered_at), neuron.coldkey, stakes[uid]))
        return found

    def round_number(self, netuid: int) -> int:
        """Return the round that is open, or was last."""
        return self.training.round_number(netuid)
