"""Which methods only the operator may call, and what everybody else is told.

Source: paritytech/polkadot-sdk substrate/client/rpc-api/src/policy.rs and its uses.
"""

from ipaddress import ip_address
from typing import Literal

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import CLIENT_ERROR, METHOD_NOT_FOUND, Json, RpcError
from chain.rpc.params import Params

RpcMethods = Literal["auto", "safe", "unsafe"]
"""--rpc-methods; auto serves unsafe ones where only this machine can connect"""

UNSAFE = frozenset(
    {
        "author_hasKey",
        "author_hasSessionKeys",
        "author_insertKey",
        "author_removeExtrinsic",
        "author_rotateKeys",
        "author_rotateKeysWithOwner",
        "babe_epochAuthorship",
        "state_getPairs",
        "state_queryStorage",
        "system_addLogFilter",
        "system_addReservedPeer",
        "system_dryRun",
        "system_dryRunAt",
        "system_peers",
        "system_removeReservedPeer",
        "system_resetLogFilter",
    }
)
"""They touch keys, logs or peers, name peers, or make the node work hard."""
UNSAFE_CALLED = "RPC call is unsafe to be called externally"


def serves_unsafe(methods: RpcMethods, host: str) -> bool:
    """Say whether unsafe methods are served on an address."""
    return methods == "unsafe" or (methods == "auto" and ip_address(host).is_loopback)


def denier(method: str) -> Handler:
    """Return what answers in place of an unsafe method; the state group words it as its own error."""
    code = CLIENT_ERROR if method.startswith("state_") else METHOD_NOT_FOUND

    async def deny(node: Backend, params: Params) -> Json:
        """Refuse."""
        raise RpcError(code, UNSAFE_CALLED)

    return deny
