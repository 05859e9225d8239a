"""Transactions that others have announced and this node lacks: whom to ask for which, and whom next.

    announced -> the first peer that did is asked        -> its body is here
                 and does not have it, or does not answer -> the next peer that did

Each peer is asked for so many at once and answers in order, so what an answer leaves out before its last body
is not there, and what it leaves out behind that did not fit. Who lets a request wait is asked nothing for a
while: an id is delayed by a silent peer once, not again and again.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from chain.common.faults import Fault, PeerFault
from chain.network.messages import MAX_TRANSACTIONS

MAX_OFFERED = 4096
"""ids for which one peer is the next to be asked; more are left to those who announce them too"""
MAX_WANTED = 16_384
"""ids in all; beyond, only for peers that have offered few: two pools, and some 8 MiB"""
FEW = 256
"""ids for which a peer is the next to be asked whatever others have announced"""
MAX_OTHERS = 16
"""peers that are remembered as having a transaction, beside the one that is asked"""
MAX_OPEN = 4
"""requests to one peer that wait for an answer"""
MAX_LATE = 16
"""overdue requests to one peer whose answers are still no fault"""
PATIENCE = 4.0
"""seconds a peer may take; it may have a block to execute first"""
REST = 30.0
"""seconds for which a peer that was silent is asked nothing, unless it answers after all"""


@dataclass(slots=True, eq=False)
class _Request:
    ids: dict[bytes, int]  # and their places
    due: float


@dataclass(slots=True)
class _Holder:
    """What one peer has announced, and was asked for."""

    offered: dict[bytes, None] = field(default_factory=dict)  # to be asked of it, oldest first
    asked: dict[bytes, _Request] = field(default_factory=dict)  # whose bodies are no fault
    open: deque[_Request] = field(default_factory=deque)
    late: deque[_Request] = field(default_factory=deque)
    rests_until: float = 0.0


@dataclass(slots=True)
class _Want:
    """Who is to be asked for a transaction, or is being asked, and who else has it."""

    holder: str
    others: list[str] = field(default_factory=list)


class Wanted:
    """The ids that are wanted; time is that of the clock that never runs backwards, in seconds."""

    def __init__(self) -> None:
        self._wants: dict[bytes, _Want] = {}
        self._holders: dict[str, _Holder] = {}

    def __len__(self) -> int:
        return len(self._wants)

    def joined(self, peer: str) -> None:
        """Note a peer."""
        self._holders[peer] = _Holder()

    def left(self, peer: str) -> None:
        """Forget a peer; others take its place."""
        holder = self._holders.pop(peer)
        for id_ in [*holder.offered, *(each for request in holder.open for each in request.ids)]:
            self._pass_on(id_, peer)

    def offer(self, peer: str, id_: bytes, now: float) -> bool:
        """Note that a peer has a transaction; False when it has announced too many."""
        holder, want = self._holders[peer], self._wants.get(id_)
        if want is None:
            most = FEW if len(self._wants) >= MAX_WANTED else MAX_OFFERED
            if len(holder.offered) >= most:
                return False
            self._wants[id_] = _Want(peer)
            holder.offered[id_] = None
            return True
        if want.holder == peer or peer in want.others:
            return True
        if len(want.others) < MAX_OTHERS:
            want.others.append(peer)
        first = self._holders[want.holder]
        if id_ in first.offered and first.rests_until > now >= holder.rests_until:
            del first.offered[id_]
            self._pass_on(id_, want.holder)
        return True

    def ask(self, peer: str, most: int, now: float) -> list[bytes]:
        """Return what to ask a peer for now; nothing where it is to be left alone, or little at a time."""
        holder = self._holders[peer]
        count = min(len(holder.offered), MAX_TRANSACTIONS)
        if not 0 < count <= most or holder.rests_until > now or len(holder.open) >= MAX_OPEN:
            return []
        ids = list(islice(holder.offered, count))
        request = _Request({id_: place for place, id_ in enumerate(ids)}, now + PATIENCE)
        holder.open.append(request)
        for id_ in ids:
            del holder.offered[id_]
            holder.asked[id_] = request
        return ids

    def waits_for(self, peer: str) -> bool:
        """Say whether a peer was asked for something that it may still answer."""
        holder = self._holders[peer]
        return bool(holder.asked or holder.open or holder.late)

    def came(self, peer: str, ids: list[bytes]) -> list[list[str] | None]:
        """Note the transactions of an answer; return who has announced each, None: nobody asked.

        For one that is wanted no more that is nobody.

        Raises: PeerFault when nobody asked for an answer.
        """
        holder = self._holders[peer]
        if not ids:
            self._came_none(peer, holder)
            return []
        requests: dict[_Request, int] = {}  # how many of its ids are settled
        wanted: list[list[str] | None] = []
        for id_ in ids:
            request = holder.asked.pop(id_, None)
            if request is None:
                wanted.append(None)
                continue
            requests[request] = max(requests.get(request, 0), request.ids[id_] + 1)
            want = self._wants.pop(id_, None)
            wanted.append([] if want is None else [want.holder, *want.others])
        if requests:
            holder.rests_until = 0.0
        for request, settled in requests.items():
            if request in holder.open:
                self._close(peer, holder, request, settled)
        return wanted

    def _came_none(self, peer: str, holder: _Holder) -> None:
        if holder.open:
            self._close(peer, holder, holder.open[0], 0)
        elif holder.late:
            _forget(holder, holder.late.popleft())
        else:
            raise PeerFault(Fault.NOT_ASKED, "transactions")

    def has(self, id_: bytes) -> list[str]:
        """Note that a transaction is here, however it came; return who has announced it."""
        want = self._wants.pop(id_, None)
        if want is None:
            return []
        self._holders[want.holder].offered.pop(id_, None)
        return [want.holder, *want.others]

    def overdue(self, now: float) -> list[str]:
        """Have others asked for what peers were asked for in vain; return those peers, once per request."""
        late: list[str] = []
        for peer, holder in self._holders.items():
            while holder.open and holder.open[0].due <= now:
                request = holder.open.popleft()
                holder.late.append(request)
                holder.rests_until = now + REST
                late.append(peer)
                for id_ in request.ids:
                    self._pass_on(id_, peer)
                if len(holder.late) > MAX_LATE:
                    _forget(holder, holder.late.popleft())
        return late

    def _close(self, peer: str, holder: _Holder, request: _Request, settled: int) -> None:
        """End a request: what an answer has passed over is not there, what is behind that is asked again."""
        holder.open.remove(request)
        _forget(holder, request)
        for id_, place in request.ids.items():
            want = self._wants.get(id_)
            if want is None or want.holder != peer:
                continue
            if settled and place >= settled:
                holder.offered[id_] = None
            else:
                self._pass_on(id_, peer)

    def _pass_on(self, id_: bytes, peer: str) -> None:
        """Have the next peer asked for what this one was to give; forget it where there is none."""
        want = self._wants.get(id_)
        if want is None or want.holder != peer:
            return
        others = [each for each in want.others if each in self._holders]
        others.sort(key=lambda each: self._holders[each].rests_until)
        if not others or len(self._holders[others[0]].offered) >= MAX_OFFERED:
            del self._wants[id_]
            return
        want.holder, want.others = others[0], others[1:]
        self._holders[want.holder].offered[id_] = None


def _forget(holder: _Holder, request: _Request) -> None:
    for id_ in request.ids:
        if holder.asked.get(id_) is request:
            del holder.asked[id_]
