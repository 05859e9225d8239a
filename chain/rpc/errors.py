"""JSON-RPC error objects.

Source: JSON-RPC 2.0 section 5.1; Substrate's rpc-api; jsonrpsee for limits;
paritytech/json-rpc-interface-spec for chainHead.
"""

from chain.common.errors import RuntimeMissing, StateDiscarded, SubmitError, UnknownBlock

Json = object
"""Anything json.dumps takes."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
BATCHES_NOT_SUPPORTED = -32005
TOO_MANY_SUBSCRIPTIONS = -32006
REQUEST_TOO_BIG = -32007
RESPONSE_TOO_BIG = -32008
BATCH_TOO_BIG = -32010
BATCH_RESPONSE_TOO_BIG = -32011
FOLLOW_LIMIT = -32800
BLOCK_NOT_PINNED = -32801
NO_RUNTIME = -32802
NOT_WAITING = -32803
DUPLICATE_HASHES = -32804
BAD_FORMAT = 1001
BAD_PEER = 2002
AUTHOR_ERROR = 1040
GRANDPA_NOT_READY = 1
GRANDPA_UNPROVABLE = 4
BAD_RANGE = 4001
COUNT_TOO_BIG = 4002
CLIENT_ERROR = 4003


class RpcError(Exception):
    """A request that ends in an error object; `data` is left out when it is None."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Json]:
        """Return the error object."""
        body: dict[str, Json] = {"code": self.code, "message": self.message}
        return body if self.data is None else body | {"data": self.data}


def invalid_params(reason: str) -> RpcError:
    """Return the error for parameters that do not fit the method."""
    return RpcError(INVALID_PARAMS, "Invalid params", reason)


def client_error(reason: str) -> RpcError:
    """Return the error for a request the chain's database or runtime cannot answer."""
    return RpcError(CLIENT_ERROR, f"Client error: {reason}")


def over_limit(code: int, message: str, limit: int) -> RpcError:
    """Return the error for a limit of this server."""
    return RpcError(code, message, f"Exceeded max limit of {limit}")


def known_error(problem: UnknownBlock | StateDiscarded | SubmitError | RuntimeMissing) -> RpcError:
    """Return the error object of an expected failure inside the node.

    async-substrate-interface recognises a pruned state by this wording alone.
    """
    if isinstance(problem, SubmitError):
        return RpcError(problem.code, problem.message, problem.data)
    if isinstance(problem, RuntimeMissing):
        return client_error(f"Execution failed: {problem}")
    return client_error(f"Api called for an unknown Block: {problem}")
