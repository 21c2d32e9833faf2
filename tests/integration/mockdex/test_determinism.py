from integration.mockdex.exchanges import Stepped
from mockdex.curves import VENUES

FAULTS = {
    "failure_rate": 0.2,
    "quote_error_rate": 0.2,
    "no_liquidity_rate_meteora": 0.2,
    "drop_rate": 0.1,
    "never_lands_rate": 0.1,
    "late_landing_rate": 0.1,
    "stale_status_rate": 0.3,
}


async def live(exchange: Stepped) -> list[object]:
    """Ask and send the same things, one after another; return everything that was told."""
    told: list[object] = []
    signatures: list[str] = []
    for number in range(60):
        venue = VENUES[number % 2].name
        told.append(await exchange.ask.quote(venue, amount=10**9 + number))
        signatures.append(await exchange.ask.send(exchange.swap(number, venue=venue)))
        told.append(await exchange.ask.statuses(*signatures))
        await exchange.pass_ms(137)
    await exchange.pass_blocks(200)
    return [signatures, told, await exchange.ask.ledger()]


async def test_the_same_calls_one_after_another_have_the_same_answers(open_exchange):
    """Quotes, faults, signatures, slots, amounts and the order of landings: all follow from the seed."""
    one = await live(await open_exchange(seed=99, **FAULTS))
    other = await live(await open_exchange(seed=99, **FAULTS))
    assert one == other


async def test_another_seed_is_another_world(open_exchange):
    one = await live(await open_exchange(seed=99, **FAULTS))
    other = await live(await open_exchange(seed=100, **FAULTS))
    assert one[1] != other[1]
