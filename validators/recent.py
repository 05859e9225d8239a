"""Where the values of the last rounds' updates stand: read off the shelf, and remembered meanwhile.

A judge keeps every payload that it could read for some rounds, so a restart forgets nothing; what another
life of it never had is not compared.
"""

import asyncio

from chain.client import Chain, Round, Update
from miners.parameters import OutOfRange, TrainingParameters
from miners.payload import MalformedPayload, decode, shape_of
from miners.shelf import Shelf
from validators.overlap import EARLIER_ROUNDS, Sent

MOST_VALUES = 1 << 27
"""Positions in memory (512 MiB): a hundred payloads of 40 million parameters; others are read again."""


class Recent:
    """What was sent in the last rounds."""

    def __init__(self, chain: Chain, shelf: Shelf, netuid: int) -> None:
        self._chain = chain
        self._shelf = shelf
        self._netuid = netuid
        self._known = dict[tuple[int, bytes], Sent]()  # by round and digest

    async def before(self, number: int) -> list[Sent]:
        """Return what was sent in the rounds before one, as far as it is here."""
        rounds = range(max(1, number - EARLIER_ROUNDS), number)
        self._known = {key: sent for key, sent in self._known.items() if key[0] in rounds}
        found = list[Sent]()
        for older in rounds:
            ended = await self._chain.round(self._netuid, older)
            if ended is None:
                continue
            for update in await self._chain.updates(self._netuid, older):
                sent = await asyncio.to_thread(self._sent, ended, update)
                found += [sent] if sent else []
        return found

    def _sent(self, ended: Round, update: Update) -> Sent | None:
        known = self._known.get((ended.number, update.digest))
        if known is not None:
            return known
        blob = self._shelf.get(update.digest)
        if blob is None:
            return None
        try:
            payload = decode(blob, shape_of(TrainingParameters.of(ended), ended.base_root))
        except (MalformedPayload, OutOfRange):
            return None
        sent = Sent.of(payload, update.miner, (ended.number, update.commit_height, update.commit_index))
        if sum(len(each.indices) for each in self._known.values()) + len(sent.indices) <= MOST_VALUES:
            self._known[ended.number, update.digest] = sent
        return sent
