import pytest


async def fill(exchange, count):
    """Land swaps one block after another; return their signatures in order of landing."""
    await exchange.ask.tune(execution_delay_ms=0)
    signatures = []
    for number in range(count):
        signatures.append(await exchange.ask.send(exchange.swap(number)))
        await exchange.pass_ms(1)
    return signatures


async def test_an_empty_ledger_has_nothing_for_now(exchange):
    assert await exchange.ask.get("/ledger") == (200, {"data": [], "nextCursor": None})


async def test_pages_follow_one_another_without_gap_or_overlap(exchange):
    signatures = await fill(exchange, 10)
    seen, after = [], ""
    for expected in (4, 4, 2):
        _, page = await exchange.ask.get("/ledger", after=after, limit=4)
        assert len(page["data"]) == expected
        seen += [row["signature"] for row in page["data"]]
        after = page["nextCursor"]
    assert after is None
    assert seen == signatures


async def test_a_full_last_page_has_no_next_cursor(exchange):
    await fill(exchange, 4)
    _, page = await exchange.ask.get("/ledger", limit=4)
    assert (len(page["data"]), page["nextCursor"]) == (4, None)


async def test_a_reader_goes_on_from_the_last_row_it_has_seen(exchange):
    await fill(exchange, 3)
    _, page = await exchange.ask.get("/ledger")
    last = page["data"][-1]["cursor"]
    assert await exchange.ask.get("/ledger", after=last) == (200, {"data": [], "nextCursor": None})
    more = await exchange.ask.send(exchange.swap(77))
    await exchange.pass_ms(1)
    _, page = await exchange.ask.get("/ledger", after=last)
    assert [row["signature"] for row in page["data"]] == [more]


async def test_a_row_says_everything_about_a_landing(exchange):
    [signature] = await fill(exchange, 1)
    _, page = await exchange.ask.get("/ledger")
    [row] = page["data"]
    assert set(row) == {
        "cursor", "slot", "signature", "error", "venue", "pool", "inputMint", "outputMint",
        "amountIn", "minimumOut", "amountOut", "fee", "orderId", "attempt",
    }  # fmt: skip
    assert row["signature"] == signature


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=5001", "limit=x", "after=" + "9" * 30])
async def test_bad_parameters_are_refused(exchange, query):
    status, body, _ = await exchange.ask.http("GET", f"/ledger?{query}")
    assert (status, body["code"]) == (400, "invalid_request")
