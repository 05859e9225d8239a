"""Results of pure functions, remembered by argument, bounded in number and in length."""

from collections.abc import Callable
from typing import Any

LENGTH = 512
"""bytes; what follows from more is worked out each time"""


class Memo(dict[Any, Any]):
    """Results of a pure function by argument; it starts over when it is full.

    Only what `keeps` says yes to is remembered. Whoever asks shares the result: it must not be changed.
    """

    def __init__(
        self, function: Callable[[Any], Any], most: int, keeps: Callable[[Any, Any], bool] | None = None
    ) -> None:
        super().__init__()
        self._function = function
        self._most = most
        self._keeps = keeps

    def __missing__(self, argument: Any) -> Any:
        found = self._function(argument)
        if self._keeps is None or self._keeps(argument, found):
            if len(self) >= self._most:
                self.clear()
            self[argument] = found
        return found
