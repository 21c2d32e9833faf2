"""What becomes of a swap is decided by the chain's status alone, against a chain in virtual time."""

import asyncio

import pytest

from engine_common.errors import (
    SlippageExceeded,
    SwapFailed,
    SwapRejected,
    TransactionExpired,
    Unreachable,
    Verdict,
)
from engine_common.store.door import SignedSwap
from engine_worker.confirmation import Confirmations
from engine_worker.ports import Landing, SendAnswer
from support.orders import signed_swap
from support.simulation import LANDED, FakeChain
from support.virtual_time import VirtualClock, in_virtual_time

SWAP = signed_swap("the swap", last_valid_block_height=150)


def custom(number: int) -> Landing:
    return Landing(1, {"InstructionError": [0, {"Custom": number}]})


def settling(chain: FakeChain, swap: SignedSwap = SWAP) -> asyncio.Task[None]:
    return asyncio.create_task(Confirmations(chain, VirtualClock()).settle(swap))


async def verdict(task: asyncio.Task[None]) -> Verdict:
    with pytest.raises(Verdict) as raised:
        await task
    return raised.value


async def passes(seconds: float) -> None:
    await asyncio.sleep(seconds)


@in_virtual_time
async def test_a_swap_that_landed_is_settled_within_one_poll() -> None:
    """And it was sent once, exactly the committed bytes."""
    chain = FakeChain()
    task = settling(chain)
    await passes(1)
    chain.landings[SWAP.signature] = LANDED
    await task
    assert VirtualClock().monotonic() <= 1.11
    assert chain.sent == [(0.0, SWAP.transaction)]


@pytest.mark.parametrize(
    ("landing", "kind", "retryable"),
    [
        (custom(6001), SlippageExceeded, True),
        (custom(6000), SwapFailed, True),
        (custom(6002), SwapRejected, False),
        (custom(0), SwapRejected, False),
        (Landing(1, "AccountNotFound"), SwapRejected, False),
        (Landing(1, {"InstructionError": [0, "InvalidAccountData"]}), SwapRejected, False),
        (Landing(1, {"InsufficientFundsForRent": {"account_index": 1}}), SwapRejected, False),
    ],
)
@in_virtual_time
async def test_a_landed_error_is_the_verdict_of_the_attempt(
    landing: Landing, kind: type[Verdict], retryable: bool
) -> None:
    """6001 and the simulated failure may be tried again; any other landed error is final."""
    chain = FakeChain()
    chain.landings[SWAP.signature] = landing
    found = await verdict(settling(chain))
    assert type(found) is kind
    assert found.retryable is retryable


@in_virtual_time
async def test_until_its_status_is_known_the_same_bytes_are_sent_every_two_seconds() -> None:
    """A send that was answered may be forgotten all the same."""
    chain = FakeChain()
    task = settling(chain)
    await passes(9)
    chain.landings[SWAP.signature] = LANDED
    await task
    assert [round(at) for at, _ in chain.sent] == [0, 2, 4, 6, 8]
    assert {transaction for _, transaction in chain.sent} == {SWAP.transaction}


@pytest.mark.parametrize("answer", [SendAnswer.ACCEPTED, SendAnswer.REFUSED])
@in_virtual_time
async def test_no_answer_of_a_send_decides_an_attempt(answer: SendAnswer) -> None:
    """Refused or accepted: it is sent again and only the status counts."""
    chain = FakeChain()
    chain.on_send = lambda _: answer
    task = settling(chain)
    await passes(5)
    assert not task.done()
    assert len(chain.sent) == 3
    chain.landings[SWAP.signature] = LANDED
    await task


@in_virtual_time
async def test_already_processed_means_stop_sending_and_read_the_status() -> None:
    """It is also returned for transactions that landed with an error, so it confirms nothing."""
    chain = FakeChain()
    chain.on_send = lambda _: SendAnswer.ALREADY_PROCESSED
    task = settling(chain)
    await passes(10)
    assert len(chain.sent) == 1
    assert not task.done()
    chain.landings[SWAP.signature] = custom(6000)
    assert isinstance(await verdict(task), SwapFailed)


@in_virtual_time
async def test_a_send_without_an_answer_is_repeated_like_any_other() -> None:
    """The bytes may have arrived, and may not."""
    chain = FakeChain()

    def lose(_: bytes) -> SendAnswer:
        raise Unreachable("no answer")

    chain.on_send = lose
    task = settling(chain)
    await passes(5)
    assert len(chain.sent) == 3
    chain.landings[SWAP.signature] = LANDED
    await task


@in_virtual_time
async def test_a_swap_expires_once_its_height_has_passed_and_a_later_search_finds_nothing() -> None:
    """Blocks of 0.4 s: height 151 comes at 60.4 s, and not before is a new attempt allowed."""
    chain = FakeChain()
    task = settling(chain)
    await passes(60.3)
    assert not task.done()
    assert "search" not in {call[0] for call in chain.calls}
    assert isinstance(await verdict(task), TransactionExpired)
    assert VirtualClock().monotonic() <= 62
    order = [call[0] for call in chain.calls if call[0] in {"height", "search"}]
    assert order[-2:] == ["height", "search"], "the height is read first, and then the history is searched"


@in_virtual_time
async def test_at_its_last_valid_height_a_swap_may_still_land() -> None:
    """Only a height above it proves anything."""
    chain = FakeChain(block_s=1_000_000)
    chain_height = (await chain.height()).block_height
    task = settling(chain, signed_swap("last chance", last_valid_block_height=chain_height))
    await passes(60)
    assert not task.done()
    chain.landings["last chance"] = LANDED
    await task


@in_virtual_time
async def test_a_node_behind_knows_nothing_and_proves_nothing() -> None:
    """A null from a slot older than that of the height means unknown; from a node that caught up it is the proof."""
    chain = FakeChain()
    chain.node_behind_slots = 20
    task = settling(chain)
    await passes(120)
    assert not task.done()
    assert [call for call in chain.calls if call[0] == "search"]
    chain.node_behind_slots = 0
    assert isinstance(await verdict(task), TransactionExpired)


@in_virtual_time
async def test_a_swap_seen_below_confirmed_neither_counts_nor_expires() -> None:
    """A node may call it processed when its height has passed: it landed, and a new attempt would double it."""
    chain = FakeChain()
    chain.landings[SWAP.signature] = Landing(slot=1, error=None, confirmed=False)
    task = settling(chain)
    await passes(120)
    assert not task.done()
    assert [call for call in chain.calls if call[0] == "search"]
    chain.landings[SWAP.signature] = LANDED
    await task


@in_virtual_time
async def test_a_landing_found_only_in_the_history_counts() -> None:
    """Statuses are forgotten after a while without history search."""
    chain = FakeChain()
    chain.forgets = True
    chain.landings[SWAP.signature] = LANDED
    await settling(chain)
    assert chain.calls[-1][0] == "search"


@in_virtual_time
async def test_while_the_chain_is_silent_the_outcome_stays_unknown_for_ever() -> None:
    """Ten minutes without an answer decide nothing: the chain does, not the time."""
    chain = FakeChain()
    chain.silent = True
    task = settling(chain)
    await passes(600)
    assert not task.done()
    chain.silent = False
    assert isinstance(await verdict(task), TransactionExpired)


@in_virtual_time
async def test_an_answer_that_nobody_can_read_does_not_end_the_watch() -> None:
    """A bug while polling is logged and the watch goes on: every swap of the process depends on it."""
    chain = FakeChain()
    task = settling(chain)
    await passes(1)
    chain.broken = KeyError("context")
    await passes(1)
    chain.broken = None
    chain.landings[SWAP.signature] = LANDED
    await task


@in_virtual_time
async def test_all_swaps_in_flight_are_polled_together() -> None:
    """Ten polls a second, however many orders there are."""
    chain = FakeChain()
    confirmations = Confirmations(chain, VirtualClock())
    swaps = [signed_swap(f"swap {i}", last_valid_block_height=10_000) for i in range(500)]
    tasks = [asyncio.create_task(confirmations.settle(swap)) for swap in swaps]
    await passes(10)
    polls = [call for call in chain.calls if call[0] == "statuses"]
    assert {call[1] for call in polls} == {500}
    assert len(polls) <= 101
    chain.landings |= {swap.signature: LANDED for swap in swaps}
    await asyncio.gather(*tasks)


@in_virtual_time
async def test_nothing_is_asked_when_nothing_is_in_flight() -> None:
    """And the next swap is watched again."""
    chain = FakeChain()
    confirmations = Confirmations(chain, VirtualClock())
    for name in ("first", "second"):
        chain.landings[name] = LANDED
        await confirmations.settle(signed_swap(name))
        await passes(1)
        asked = len(chain.calls)
        await passes(60)
        assert len(chain.calls) == asked


@in_virtual_time
async def test_a_swap_that_is_let_go_is_neither_polled_nor_sent_any_more() -> None:
    """A worker that lost the order leaves the chain alone; others it carries go on."""
    chain = FakeChain()
    confirmations = Confirmations(chain, VirtualClock())
    lost = asyncio.create_task(confirmations.settle(signed_swap("lost")))
    kept = asyncio.create_task(confirmations.settle(signed_swap("kept")))
    await passes(1)
    lost.cancel()
    await passes(5)
    assert chain.calls[-1] == ("statuses", 1)
    assert [transaction for at, transaction in chain.sent if at > 1 and b"lost" in transaction] == []
    chain.landings["kept"] = LANDED
    await kept


@in_virtual_time
async def test_two_that_wait_for_the_same_swap_share_its_watch() -> None:
    """One of them going away does not take it from the other."""
    chain = FakeChain()
    confirmations = Confirmations(chain, VirtualClock())
    one, two = (asyncio.create_task(confirmations.settle(SWAP)) for _ in range(2))
    await passes(1)
    one.cancel()
    await passes(1)
    chain.landings[SWAP.signature] = LANDED
    await two
    assert len(chain.sent) <= 2
