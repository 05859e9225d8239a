"""Grandpa: the voters that finalise blocks. Source: FRAME's pallet-grandpa.

Set changes come with the consensus work; until then the genesis set stays.
"""

from collections.abc import Mapping
from typing import Any

from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Value, storage
from runtime.primitives.babe import Authorities
from runtime.primitives.shapes import u64


class Grandpa(Pallet[None, NoError]):
    """Voters with their weights, and the number of the set."""

    authorities: Value[Authorities] = storage(default=[])
    current_set_id: Value[u64] = storage(default=0)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write `authorities`: [[0x public key, weight], ...]."""
        listed = [(bytes.fromhex(key[2:]), int(weight)) for key, weight in config.get("authorities", [])]
        self.authorities.put(listed)
