"""Who is at the other end: a Noise XX handshake in which both sign their static key with their node key.

prologue   "assay/2" | genesis hash          another chain fails at the second message, without a word
payload    node key 32 | signature 64 over "noise-static:" | static key      of messages 2 and 3
"""

from dataclasses import dataclass, field

from nacl.bindings import crypto_scalarmult_base

from chain.env import Rng
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.transport.noise import KEY_SIZE, Channel, Handshake, NoiseError
from runtime.primitives.crypto import verify_ed25519

VERSION = b"assay/2"
"""Another number when frames or messages change their meaning."""
MAX_MESSAGE = 512
"""bytes of a handshake message; the longest has 208"""
_DOMAIN = b"noise-static:"
_SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """What one node shows to all others."""

    static: bytes = field(repr=False)  # X25519 secret, new at each start
    payload: bytes  # what proves that the static key is this node's

    @classmethod
    def of(cls, node_key: Keypair, rng: Rng) -> "Identity":
        """Return the identity of a node key with a static key of its own."""
        static = rng.token(KEY_SIZE)
        return cls(static, node_key.public + node_key.sign(_DOMAIN + crypto_scalarmult_base(static)))


class Greeting:
    """One side of the exchange of three messages."""

    def __init__(self, identity: Identity, genesis: bytes, rng: Rng, *, initiator: bool) -> None:
        self._identity = identity
        self._noise = Handshake(
            initiator=initiator,
            static=identity.static,
            ephemeral=rng.token(KEY_SIZE),
            prologue=VERSION + genesis,
        )
        self._payload = b""

    @property
    def is_done(self) -> bool:
        """Say whether all messages have passed."""
        return self._noise.is_done

    @property
    def writes_next(self) -> bool:
        """Say whether it is this side's turn."""
        return self._noise.writes_next

    def write(self) -> bytes:
        """Return the next message; the first one is not encrypted and says nothing."""
        return self._noise.write(self._identity.payload if self._noise.is_encrypted_next else b"")

    def read(self, message: bytes) -> None:
        """Take the other side's message in.

        Raises: NoiseError.
        """
        self._payload = self._noise.read(message)

    def finish(self) -> tuple[str, Channel]:
        """Return who is there, and the channel to it.

        Raises: NoiseError when the other side does not own the key it shows.
        """
        channel = self._noise.channel()
        public, signature = self._payload[:KEY_SIZE], self._payload[KEY_SIZE:]
        is_signed = len(signature) == _SIGNATURE_SIZE
        if not (is_signed and verify_ed25519(signature, _DOMAIN + channel.remote_static, public)):
            raise NoiseError("the other side does not own the node key it shows")
        return peer_id(public), channel
