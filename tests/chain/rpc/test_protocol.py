"""JSON-RPC over HTTP: what is well formed, what is not, and what each is told."""

import json

import pytest

HEAD = {"jsonrpc": "2.0", "method": "chain_getHead"}


def failure(code, message, data=None, identifier=None):
    error = {"code": code, "message": message}
    return {"jsonrpc": "2.0", "id": identifier, "error": error if data is None else error | {"data": data}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b'{"jsonrpc":"2.0","id":1,"method":"chain_getHead"',
        b"NaN",
        b"[" * 100_000,
        b'{"id":' + b"9" * 5000 + b"}",
    ],
    ids=["empty", "cut", "not utf-8", "unclosed", "nan", "deep", "huge number"],
)
async def test_what_is_no_json_is_a_parse_error(served, body):
    assert await served.post(body) == (200, failure(-32700, "Parse error"))


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (5, "a request is an object with jsonrpc, id (a string or an integer), method, params"),
        (
            HEAD | {"id": 1.5},
            "a request is an object with jsonrpc, id (a string or an integer), method, params",
        ),
        (
            HEAD | {"id": True},
            "a request is an object with jsonrpc, id (a string or an integer), method, params",
        ),
        (
            HEAD | {"id": []},
            "a request is an object with jsonrpc, id (a string or an integer), method, params",
        ),
        ([], "the batch is empty"),
    ],
)
async def test_what_is_no_request_is_refused_without_an_id(served, request_, reason):
    assert await served.post(request_) == (200, failure(-32600, "Invalid request", reason))


async def test_a_wrong_version_or_method_is_refused_with_the_id(served):
    assert (await served.post(HEAD | {"id": 7, "jsonrpc": "1.0"}))[1] == failure(
        -32600, "Invalid request", 'jsonrpc must be "2.0"', 7
    )
    assert (await served.post({"jsonrpc": "2.0", "id": "a", "method": 3}))[1] == failure(
        -32600, "Invalid request", "method must be a string", "a"
    )


@pytest.mark.parametrize("identifier", [0, -3, 10**30, "", "abc", "\ud800", None])
async def test_ids_come_back_as_they_were(served, identifier):
    best = "0x" + served.node.best.hex()
    assert (await served.post(HEAD | {"id": identifier}))[1] == {
        "jsonrpc": "2.0",
        "id": identifier,
        "result": best,
    }


@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": []}, {"params": [None, None, None]}])
async def test_missing_and_null_parameters_are_fine(served, params):
    assert (await served.post(HEAD | {"id": 1} | params))[1]["result"] == "0x" + served.node.best.hex()


async def test_named_parameters_are_refused(served):
    _, answer = await served.post(HEAD | {"id": 1, "params": {"hash": None}})
    assert answer == failure(-32602, "Invalid params", "params must be an array", 1)


async def test_an_unknown_method_is_named(served):
    assert await served.request("chainHead_v9_follow", True) == failure(
        -32601, "Method not found", "'chainHead_v9_follow'", 1
    )


async def test_a_notification_is_neither_answered_nor_executed(served):
    body = {"jsonrpc": "2.0", "method": "author_submitExtrinsic", "params": ["0x01"]}
    assert await served.post(body) == (204, "")
    assert await served.post([body, body]) == (204, "")
    assert served.node.pool.extrinsics == []


async def test_a_batch_is_answered_in_order_with_its_errors(served):
    best = "0x" + served.node.best.hex()
    batch = [HEAD | {"id": 1}, 3, HEAD, {"jsonrpc": "2.0", "id": "b", "method": "no_such"}, HEAD | {"id": 2}]
    status, answer = await served.post(batch)
    assert status == 200
    assert answer == [
        {"jsonrpc": "2.0", "id": 1, "result": best},
        failure(
            -32600,
            "Invalid request",
            "a request is an object with jsonrpc, id (a string or an integer), method, params",
        ),
        failure(-32601, "Method not found", "'no_such'", "b"),
        {"jsonrpc": "2.0", "id": 2, "result": best},
    ]


async def test_a_batch_of_100_is_served_and_of_101_refused(served):
    assert len((await served.post([HEAD | {"id": i} for i in range(100)]))[1]) == 100
    assert (await served.post([HEAD | {"id": i} for i in range(101)]))[1] == failure(
        -32010, "The batch request was too large", "Exceeded max limit of 100"
    )


async def test_batches_can_be_refused(serve):
    served = await serve(max_batch=0)
    message = "Batched requests are not supported by this server"
    assert (await served.post([HEAD | {"id": 1}]))[1] == failure(-32005, message)
    assert (await served.post(HEAD | {"id": 1}))[1]["id"] == 1


async def test_a_batch_stops_executing_when_its_answer_is_too_long(serve):
    served = await serve(max_response=200)
    submit = {"jsonrpc": "2.0", "method": "author_submitExtrinsic"}
    batch = [HEAD | {"id": 1}, HEAD | {"id": 2}, submit | {"id": 3, "params": ["0x01"]}]
    _, answer = await served.post(batch)
    assert [each.get("error", {}).get("code") for each in answer] == [None, None, -32011]
    assert served.node.pool.extrinsics == []


async def test_a_result_that_is_too_long_is_an_error(serve):
    served = await serve(max_response=200)
    assert await served.request("state_call", "Test_echo", "00" * 200) == failure(
        -32008, "Response is too big", "Exceeded max limit of 200", 1
    )


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(serve, chunked):
    served = await serve(max_request=1000)

    async def pieces():
        for _ in range(11):
            yield b" " * 100

    headers = {"Content-Type": "application/json"}
    body = pieces() if chunked else b" " * 1001
    async with served.http.post(served.url, data=body, headers=headers) as response:
        assert response.status == 413
        assert await response.json() == failure(-32007, "Request is too big", "Exceeded max limit of 1000")
    assert (await served.post(json.dumps(HEAD | {"id": 1}).encode().ljust(1000)))[0] == 200


@pytest.mark.parametrize("values", [b"[]," * 132_000, b'{"":0},' * 132_000, b"0," * 263_000])
async def test_a_message_of_too_many_values_is_refused_before_it_is_parsed(served, values):
    body = b"[" + values + b"0]"
    refusal = failure(-32007, "Request is too big", "Exceeded max limit of 262144")
    assert await served.post(body) == (200, refusal)
    assert (await served.request("state_getStorage", "0x" + "00," * 263_000))["error"]["code"] == -32007
    assert (await served.request("state_getStorage", "0x" + "00" * 300_000))["result"] is None


async def test_a_bug_is_an_internal_error_that_tells_nothing(served, caplog):
    assert await served.request("state_call", "Test_bug", "0x") == failure(-32603, "Internal error", None, 1)
    assert "a secret of this node" in caplog.text


async def test_other_http_methods_types_and_origins_are_refused(served):
    async with served.http.get(served.url) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST, OPTIONS")
    assert (await served.post(HEAD | {"id": 1}, headers={"Content-Type": "text/plain"}))[0] == 415
    origin = {"Content-Type": "application/json", "Origin": "http://localhost.evil.com:3000"}
    assert (await served.post(HEAD | {"id": 1}, headers=origin))[0] == 403
    with pytest.raises(Exception, match="403"):
        async with served.connect(origin="https://evil.com"):
            pass


async def test_allowed_pages_may_call(served):
    for origin in ("http://localhost:3000", "http://127.0.0.1", "https://polkadot.js.org"):
        headers = {"Content-Type": "application/json", "Origin": origin}
        async with served.http.post(served.url, json=HEAD | {"id": 1}, headers=headers) as response:
            assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, origin)
        async with served.http.options(served.url, headers=headers) as response:
            assert (response.status, response.headers["Access-Control-Allow-Headers"]) == (
                204,
                "content-type",
            )
            assert response.headers["Access-Control-Allow-Origin"] == origin
        async with served.connect(origin=origin) as client:
            assert await client.call("system_chain") == "Assay Test"


async def test_all_allows_every_page(serve):
    served = await serve(origins=("all",))
    headers = {"Content-Type": "application/json", "Origin": "https://any.example"}
    assert (await served.post(HEAD | {"id": 1}, headers=headers))[0] == 200


async def test_too_many_connections_are_told_so(serve):
    served = await serve(max_connections=1)
    async with served.connect() as client:
        assert await served.post(HEAD | {"id": 1}) == (429, "Too many connections. Please try again later.\n")
        async with served.http.get(served.url + "/health") as response:
            assert response.status == 200
        assert await client.call("system_chain") == "Assay Test"


async def test_calls_and_sessions_are_counted_but_no_unknown_name(served):
    await served.call("system_chain")
    await served.request("no_such_method")
    await served.request("chain_getHeader", "0x")
    async with served.connect() as client:
        await client.call("chain_subscribeNewHeads")
    text = served.metrics.render()
    head = 'substrate_rpc_calls_finished{chain="Assay Test"'
    assert f'{head},is_error="false",method="system_chain",protocol="http"}} 1.0' in text
    assert f'{head},is_error="true",method="chain_getHeader",protocol="http"}} 1.0' in text
    assert f'{head},is_error="false",method="chain_subscribeNewHeads",protocol="ws"}} 1.0' in text
    assert 'substrate_rpc_sessions_opened{chain="Assay Test"} 1.0' in text
    assert "no_such_method" not in text
