"""What is stored outlives the process: an exchange is closed and opened again on the same directory."""

from collections.abc import AsyncIterator
from shutil import copyfile

import pytest

from integration.mockdex.exchanges import Answered, Stepped
from mockdex.storage import DirectoryUnusable


class Restarting:
    """Opens exchanges on one directory, one after the other."""

    def __init__(self, directory) -> None:
        self.directory = directory
        self.current: Stepped | None = None

    async def __call__(self, **settings) -> Stepped:
        await self.close()
        self.current = await Stepped().open(self.directory, **settings)
        return self.current

    async def close(self) -> None:
        if self.current is not None:
            await self.current.close()
            self.current = None


@pytest.fixture
async def restart(tmp_path) -> AsyncIterator[Restarting]:
    restarting = Restarting(tmp_path)
    yield restarting
    await restarting.close()


async def test_what_was_accepted_lands_after_a_restart_and_lands_once(restart):
    exchange = await restart()
    swaps = [exchange.swap(number) for number in range(10)]
    signatures = [await exchange.ask.send(swap) for swap in swaps]
    await exchange.pass_ms(2_300)
    landed_before = await exchange.ask.ledger()
    assert 0 < len(landed_before) < 10
    exchange = await restart()
    assert await exchange.ask.ledger() == landed_before
    for swap, signature in zip(swaps, signatures, strict=True):
        if signature in {row["signature"] for row in landed_before}:
            with pytest.raises(Answered) as answered:
                await exchange.ask.send(swap)
            assert answered.value.err == "AlreadyProcessed"
        else:
            assert await exchange.ask.send(swap) == signature
    await exchange.pass_ms(3_000)
    ledger = await exchange.ask.ledger()
    assert ledger[: len(landed_before)] == landed_before
    assert sorted(row["signature"] for row in ledger) == sorted(signatures)
    assert (await exchange.ask.statuses(*signatures, history=False))[1].count(None) == 0


async def test_what_was_accepted_after_the_last_block_is_stored_with_the_time_of_its_acceptance(restart, tmp_path):
    """Killed long into a block, it goes on there: due times keep their distance, numbers are not given twice."""
    exchange = await restart()
    exchange.ms += 350
    signature = await exchange.ask.send(exchange.swap(1))
    # What a killed process leaves: the files as they are, without what a close would add.
    restart.directory = tmp_path / "killed"
    restart.directory.mkdir()
    for name in ("chain.db", "chain.db-wal"):
        copyfile(tmp_path / name, restart.directory / name)
    exchange = await restart()
    other = await exchange.ask.send(exchange.swap(2))
    await exchange.pass_ms(1_999)
    assert await exchange.ask.ledger() == []
    await exchange.pass_ms(1_002)
    assert {row["signature"] for row in await exchange.ask.ledger()} == {signature, other}


async def test_chain_time_stands_still_while_nobody_serves(restart):
    """Due times and heights go on from where they were, whatever the clock says meanwhile."""
    exchange = await restart()
    await exchange.pass_blocks(7)
    signature = await exchange.ask.send(exchange.swap())
    before = await exchange.ask.rpc("getEpochInfo")
    exchange = await restart()
    exchange.ms += 0
    after = await exchange.ask.rpc("getEpochInfo")
    assert before["blockHeight"] == after["blockHeight"] == 8
    assert after["absoluteSlot"] == before["absoluteSlot"]
    await exchange.pass_ms(1_500)
    assert (await exchange.ask.statuses(signature))[1] == [None]
    await exchange.pass_ms(1_500)
    assert (await exchange.ask.statuses(signature))[1] != [None]


async def test_blockhashes_stay_valid_over_a_restart(restart):
    exchange = await restart()
    swap = exchange.swap()
    await exchange.pass_blocks(100)
    exchange = await restart()
    await exchange.pass_blocks(50)
    assert await exchange.ask.send(swap)
    await exchange.pass_blocks(1)
    with pytest.raises(Answered) as answered:
        await exchange.ask.send(swap)
    assert answered.value.err == "BlockhashNotFound"


async def test_fates_survive_a_restart(restart):
    exchange = await restart(failure_rate=1.0)
    failing = await exchange.ask.send(exchange.swap(1))
    await exchange.ask.tune(never_lands_rate=1)
    never = await exchange.ask.send(exchange.swap(2))
    exchange = await restart()
    await exchange.pass_ms(3_000)
    assert [(row["signature"], row["error"]) for row in await exchange.ask.ledger()] == [(failing, 6000)]
    assert set(exchange.exchange.chain.in_flight) == {never}


async def test_pools_are_where_trades_have_left_them(restart):
    exchange = await restart()
    for venue in ("raydium", "meteora"):
        await exchange.ask.send(exchange.swap(venue=venue, amount_in=20_000 * 10**9))
    await exchange.pass_ms(3_000)
    before = [await exchange.ask.quote(venue) for venue in ("raydium", "meteora")]
    exchange = await restart()
    assert [await exchange.ask.quote(venue) for venue in ("raydium", "meteora")] == before


async def test_random_decisions_go_on_with_the_next_number(restart):
    """One run, interrupted or not, draws the same."""
    exchange = await restart(quote_error_rate=0.5)
    uninterrupted = [(await exchange.ask.quote())[0] for _ in range(20)]
    restart.directory /= "other"
    exchange = await restart(quote_error_rate=0.5)
    first = [(await exchange.ask.quote())[0] for _ in range(10)]
    await exchange.pass_blocks(1)
    exchange = await restart(quote_error_rate=0.5)
    assert first + [(await exchange.ask.quote())[0] for _ in range(10)] == uninterrupted


async def test_the_seed_is_the_directorys_unless_another_is_set(restart):
    exchange = await restart(seed=41)
    genesis = await exchange.ask.rpc("getLatestBlockhash")
    assert (await restart(seed=None)).exchange.seed == 41
    exchange = await restart(seed=42)
    assert exchange.exchange.seed == 42
    # Another seed changes prices and faults, not the chain.
    assert await exchange.ask.rpc("getLatestBlockhash") == genesis
    assert (await restart(seed=None)).exchange.seed == 42


async def test_without_a_seed_a_new_chain_draws_one(open_exchange):
    seeds = {(await open_exchange(seed=None)).exchange.seed for _ in range(3)}
    assert len(seeds) == 3


async def test_a_directory_serves_one_process_at_a_time(restart):
    await restart()
    with pytest.raises(DirectoryUnusable, match="MOCK_DEX_DATA_DIR: another mock DEX"):
        await Stepped().open(restart.directory)


async def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryUnusable, match=r"MOCK_DEX_DATA_DIR: .*/file/below cannot be used"):
        await Stepped().open(tmp_path / "file" / "below")
    (tmp_path / "chain.db").write_text("this is no database, but long enough to be looked at" * 100)
    with pytest.raises(DirectoryUnusable, match="MOCK_DEX_DATA_DIR: no chain can be kept"):
        await Stepped().open(tmp_path)


async def test_a_chain_that_cannot_be_stored_is_not_ready_and_tells_nothing_new(restart):
    """What is not committed never happened: no status, no height; the next process goes on from what is stored."""
    exchange = await restart()
    signature = await exchange.ask.send(exchange.swap())
    exchange.exchange.storage._writer.execute("DROP TABLE landed")
    height = exchange.exchange.chain.height
    with pytest.raises(Exception, match="no such table"):
        await exchange.pass_ms(3_000)
    assert exchange.exchange.chain.height == height
    assert (await exchange.ask.statuses(signature, history=False))[1] == [None]
    assert await exchange.ask.get("/readyz") == (503, {"status": "down", "storage": "down"})
