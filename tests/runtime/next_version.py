"""The runtime after this one, as a package would bring it: one more pallet, one migration, one more version.

Tests use it in process, and write it into a package of its own (tests/e2e/test_upgrade.py).
"""

from dataclasses import replace

from runtime.apis import SERVED
from runtime.frame.declare import Signed, call, db, event
from runtime.frame.errors import NoError
from runtime.frame.executive import Executive
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.native import NativeRuntime
from runtime.pallets.system import System
from runtime.primitives.shapes import u32
from runtime.primitives.types import AccountId, BlockNumber, Weight
from runtime.runtime import EXTENSIONS, VERSION, AssayRuntime

NEXT_VERSION = replace(VERSION, spec_version=VERSION.spec_version + 1)


@event
class Praised:
    """Somebody was praised."""

    who: AccountId
    times: u32


class Kudos(Pallet[Praised, NoError]):
    """Counts who was praised how often."""

    praises: Map[AccountId, u32] = storage(default=0)
    since: Value[BlockNumber] = storage()
    came_from: Value[u32] = storage()

    def on_runtime_upgrade(self, since: int) -> Weight:
        """Note where the pallet began, and after which version."""
        self.came_from.put(since)
        self.since.put(self.host.system.number.get() + 1)
        return db(writes=2)

    @call(0, weight=db(reads=1, writes=1))
    def praise(self, who: Signed, whom: AccountId) -> None:
        """Praise somebody."""
        times = self.praises[whom] + 1
        self.praises[whom] = times
        self.deposit(Praised(whom, times))


class NextRuntime(AssayRuntime):
    """This runtime and Kudos."""

    system = System.at(0, version=NEXT_VERSION)
    kudos = Kudos.at(60)


NATIVE = NativeRuntime(Executive(NextRuntime, EXTENSIONS), NEXT_VERSION, SERVED)
