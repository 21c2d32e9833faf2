"""Names in requests are ASCII: a character that only looks like one, or maps to one, is another name."""

import json
from urllib.parse import quote
from uuid import UUID

import pytest

from integration.api.running_api import BODY, RunningApi
from integration.api.test_http_manners import LAST, conversation, get

LONG_S = "\u017f"
KELVIN = "\u212a"
FULLWIDTH = str.maketrans("0123456789", "".join(chr(0xFF10 + digit) for digit in range(10)))


@pytest.mark.parametrize(
    "name",
    [
        f"{LONG_S}ol",
        f"{LONG_S}OL",
        f"U{LONG_S}DC",
        f"BON{KELVIN}",
        f"bon{KELVIN}",
        "\uff33\uff2f\uff2c",
        "w\u0131f",
        "S\u041eL",
        "SOL\u00a0",
    ],
)
@pytest.mark.parametrize("field", ["tokenIn", "tokenOut"])
async def test_a_token_is_named_in_ascii(api: RunningApi, name: str, field: str) -> None:
    """Unicode's case mapping turns some foreign letters into ASCII ones; no such name is a token."""
    answer = await api.post("/api/orders", BODY | {"tokenIn": "JUP", "tokenOut": "RAY"} | {field: name})
    answer.problem(422, "invalid_order")
    assert answer.fields() == {field}


@pytest.mark.parametrize("name", ["sol", "Sol", "SOL", "So11111111111111111111111111111111111111112"])
async def test_a_token_may_be_named_in_any_ascii_case(api: RunningApi, name: str) -> None:
    """Symbols in any case, mint addresses exactly."""
    assert (await api.post("/api/orders", BODY | {"tokenIn": name})).status == 201


@pytest.mark.parametrize("key", ['""', '" "', '"   "', "'\"\"'"[1:3]])
async def test_an_idempotency_key_is_not_empty_after_unquoting(api: RunningApi, key: str) -> None:
    """Else all clients that send an empty key would share one order."""
    answer = await api.post("/api/orders", BODY, key=key)
    answer.problem(422, "invalid_parameter")
    assert answer.fields() == {"Idempotency-Key"}


def creating(*headers: bytes) -> bytes:
    body = json.dumps(BODY).encode()
    lines = (b"POST /api/orders HTTP/1.1", b"host: x", b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85"])
@pytest.mark.parametrize(
    ("header", "status"), [(b"idempotency-key: a-key", 422), (b"content-type: application/json", 415)]
)
async def test_only_blanks_of_http_are_left_out_around_a_header(
    api: RunningApi, header: bytes, status: int, blank: bytes
) -> None:
    """Bytes that Latin-1 reads as blanks are a part of the value, and make it a wrong one."""
    others = [] if b"type" in header else [b"content-type: application/json"]
    answers = await conversation(api.port, creating(*others, header + blank), creating(*others, blank + header), LAST)
    assert answers[0].status == status


@pytest.mark.parametrize("form", ["{%s}", "urn:uuid:%s", "{urn:uuid:%s", "%s\n", "\u00a0%s", "%s-", "hex", "fullwidth"])
async def test_an_order_id_has_one_form(api: RunningApi, form: str) -> None:
    """On REST and on both sockets alike; whatever else reads as a UUID in some library is no order."""
    order_id = await api.place()
    if form == "hex":
        text = order_id.hex
    elif form == "fullwidth":
        text = str(order_id).translate(FULLWIDTH)
    else:
        text = form % order_id
    quoted = quote(text, safe="")
    for path in (f"/api/orders/{quoted}", f"/api/orders/{quoted}/events"):
        answers = await conversation(api.port, get(path), LAST)
        assert (answers[0].status, path) == (404, path)
    for path in (f"/ws/orders/{quoted}", f"/api/orders/execute?orderId={quoted}"):
        async with api.listening(path) as ear:
            assert await ear.closed() == 4004


async def test_an_order_id_may_be_in_upper_case(api: RunningApi) -> None:
    """RFC 9562: either case on input, lower case on output."""
    order_id = await api.place()
    text = str(order_id).upper()
    assert UUID((await api.get(f"/api/orders/{text}")).json["orderId"]) == order_id
    for path in (f"/ws/orders/{text}", f"/api/orders/execute?orderId={text}"):
        async with api.listening(path) as ear:
            (event,) = await ear.hear(1)
            assert event["orderId"] == str(order_id)


@pytest.mark.parametrize(
    "since",
    [
        "2026-W05-6T12:00:00Z",
        "20260131T120000Z",
        "2026-01-31x12:00:00Z",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00+01:00:07",
        "2026-01-31T12:00:00Z\n",
        "2026-01-31T12:00:00Z".translate(FULLWIDTH),
    ],
)
async def test_a_time_is_written_as_rfc_3339_says(api: RunningApi, since: str) -> None:
    """Python's reader takes more, and what it takes changes from version to version."""
    async with api.listening(f"/ws?wallet=w&since={quote(since, safe='')}") as ear:
        assert await ear.closed() == 4422


@pytest.mark.parametrize(
    "since", ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.123456789z", "2026-01-31 12:00:00+01:00"]
)
async def test_every_form_of_rfc_3339_is_a_time(api: RunningApi, wallet: str, since: str) -> None:
    """Either case, any number of decimals, a blank between date and time, a plus sign that a query made a blank."""
    async with api.listening(f"/ws?wallet={wallet}&since={quote(since, safe='+')}") as ear:
        await ear.silence()


@pytest.mark.parametrize("field", ["amountIn", "minAmountOut"])
@pytest.mark.parametrize("text", ["\uff11", "1\u00a0", "\u0661.5", "1\u066b5", "1_0", "\u22121", "\u00bd", "1\n"])
async def test_a_decimal_is_written_in_ascii(api: RunningApi, field: str, text: str) -> None:
    """Digits of other scripts, blanks and typographical signs make no amount."""
    answer = await api.post("/api/orders", BODY | {field: text})
    answer.problem(422, "invalid_order")
    assert answer.fields() == {field}
