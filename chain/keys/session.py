"""The keys a node signs with: in the keystore, with a record in the guard, and at work at once.

A key's guard record is born with the key. A key that lies in the keystore without one stays without: what it
signed before is unknown, and inserting it again must not hide that.
"""

from collections.abc import Callable

from chain.consensus.guard import Guard
from chain.env import Rng
from chain.keys.keystore import BABE_KEY, GRANDPA_KEY, KEY_KINDS, Keystore, KeystoreError
from chain.keys.pair import Keypair
from runtime.primitives.session import ownership_statement
from runtime.primitives.types import AccountId

MAX_KEYS = 256
"""keys of a type; each costs a look per slot, and the guard writes all records with every signature: 78 kB of
so many keys, which takes a third longer than those of one"""


class SessionKeys:
    """Inserts and makes keys; the lists of a validator grow while it runs."""

    def __init__(self, keystore: Keystore, guard: Guard, rng: Rng, *, wants_password: bool = False) -> None:
        self._keystore = keystore
        self._guard = guard
        self._rng = rng
        self._wants_password = wants_password
        self._admit: dict[bytes, Callable[[bytes], None]] = {
            BABE_KEY: guard.admit_author,
            GRANDPA_KEY: guard.admit_voter,
        }
        self._pairs: dict[bytes, list[Keypair]] = {kind: [] for kind in KEY_KINDS}
        self._signs = False

    @property
    def authors(self) -> list[Keypair]:
        """The BABE keys at work; the list grows."""
        return self._pairs[BABE_KEY]

    @property
    def voters(self) -> list[Keypair]:
        """The GRANDPA keys at work; the list grows."""
        return self._pairs[GRANDPA_KEY]

    def signs_with(self, public: bytes) -> bool:
        """Say whether a public key is one of those at work, of either type."""
        return any(pair.public == public for pairs in self._pairs.values() for pair in pairs)

    def load(self) -> None:
        """Put every key of the keystore to work, and those to come.

        Raises: KeystoreError.
        """
        self._signs = True
        for key_type, pairs in self._pairs.items():
            pairs[:] = [
                self._keystore.keypair(key_type, public) for public in self._keystore.public_keys(key_type)
            ]
            for pair in pairs:
                self._guard.put_to_work(pair.public)

    def admit_all(self) -> None:
        """Make the records that keys of the keystore lack; for test chains, where nothing is at stake."""
        for key_type, admit in self._admit.items():
            for public in self._keystore.public_keys(key_type):
                admit(public)

    def insert(self, key_type: bytes, suri: str, public: bytes | None = None) -> bytes:
        """Store the key of a secret URI and return its public key; `public` is what the caller expects.

        Raises: KeystoreError.
        """
        found = self._keystore.public_of(key_type, suri, public)
        if not self.has(key_type, found):
            self._check_may_add(key_type)
            self._admit[key_type](found)  # first: a key whose record a crash has prevented would never sign
        self._keystore.insert(key_type, suri, found)
        self._put_to_work(key_type, found)
        return found

    def rotate(self) -> bytes:
        """Make a new key of every type; return the public keys, BABE's first.

        Raises: KeystoreError.
        """
        for key_type in KEY_KINDS:
            self._check_may_add(key_type)
        return b"".join(self.insert(key_type, self._keystore.new_secret(self._rng)) for key_type in KEY_KINDS)

    def prove(self, made: bytes, owner: AccountId) -> bytes:
        """Return the proof, for `Session.set_keys`, that this node holds the keys it made for their owner.

        It is no block and no vote, so the guard has nothing to remember.

        Raises: KeystoreError.
        """
        size, statement = len(made) // len(KEY_KINDS), ownership_statement(owner)
        publics = [made[at : at + size] for at in range(0, len(made), size)]
        return b"".join(
            self._keystore.keypair(key_type, public).sign(statement)
            for key_type, public in zip(KEY_KINDS, publics, strict=True)
        )

    def has(self, key_type: bytes, public: bytes) -> bool:
        """Say whether the keystore has a key."""
        return public in self._keystore.public_keys(key_type)

    def _check_may_add(self, key_type: bytes) -> None:
        if self._wants_password and not self._keystore.has_password:
            raise KeystoreError(
                "keys of a live chain want a password: start the node with --password-interactive or "
                "--password-filename"
            )
        count = len(self._keystore.public_keys(key_type))
        if count >= MAX_KEYS:
            raise KeystoreError(
                f"the keystore has {count} {key_type.decode()} keys, at most {MAX_KEYS} are allowed: "
                "stop the node and move files of keys that are no longer in use away"
            )

    def _put_to_work(self, key_type: bytes, public: bytes) -> None:
        if self._signs and all(pair.public != public for pair in self._pairs[key_type]):
            self._pairs[key_type].append(self._keystore.keypair(key_type, public))
            self._guard.put_to_work(public)
