"""Authorship: which account authored the block. Source: FRAME's pallet-authorship."""

from typing import Protocol

from runtime.frame.declare import coupled, db
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Value, storage
from runtime.primitives.types import AccountId, Weight


class AuthorIndex(Protocol):
    """What tells the author's index."""

    def author_index(self) -> int | None:
        """Return the index of the block's author among the authorities."""
        ...


class ValidatorList(Protocol):
    """What turns an index into an account."""

    def validator_at(self, index: int) -> AccountId | None:
        """Return the stash of an authority."""
        ...


class Authorship(Pallet[None, NoError]):
    """The author of the current block, by stash."""

    babe: AuthorIndex = coupled()
    session: ValidatorList = coupled()

    author: Value[AccountId] = storage()

    def on_initialize(self, now: int) -> Weight:
        """Look the author up."""
        index = self.babe.author_index()
        author = None if index is None else self.session.validator_at(index)
        if author is None:
            self.author.kill()
        else:
            self.author.put(author)
        return db(reads=2, writes=1)

    def author_of_block(self) -> AccountId | None:
        """Return the stash that authored the block."""
        return self.author.find()
