"""What a socket is sent, whatever comes in whatever order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_api.order_book import WalletName
from engine_api.streams.follower import CLOCK_SKEW_S, id_margin_s, least_id, order_follower, wallet_follower
from engine_api.streams.mailbox import Mailbox, Update
from engine_api.streams.progress import Progress
from engine_common.orders import Event
from engine_common.store.pool import STATEMENT_TIMEOUT_S

LAST = 6


def history(order_id: UUID) -> list[Event]:
    """Return an order's whole history; the last event is terminal."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    return [
        Event(order_id, seq, "status", "confirmed" if seq == LAST else "routing", None, 1, at, {})
        for seq in range(1, LAST + 1)
    ]


async def sent(arriving: Sequence[int], committed_after: Sequence[int], *, known_from: int | None) -> list[int]:
    """Return the `seq` of what a socket is sent when these updates arrive.

    `committed_after` says how many events PostgreSQL has beyond the arriving one when a gap is read.
    """
    order_id = uuid4()
    events = history(order_id)
    progress = Progress()
    if known_from is not None:
        progress.positions[order_id] = known_from
    output: list[int] = []
    for seq, more in zip(arriving, committed_after, strict=True):

        async def read_missed(_: UUID, after: int, _heard: int, upto: int = min(seq + more, LAST)) -> list[Event]:
            return [event for event in events if after < event.seq <= upto]

        for update in await progress.due(Update.of(events[seq - 1]), read_missed):
            output.append(update.seq)
            progress.advance(update)
    return output


arrivals = st.lists(st.tuples(st.integers(1, LAST), st.integers(0, 3)), max_size=30)


@given(arrivals, st.integers(0, LAST - 1))
async def test_every_event_is_sent_once_and_in_order(arriving: list[tuple[int, int]], known_from: int) -> None:
    """Of an order that is known: with duplicates, gaps and in any order of arrival."""
    output = await sent([seq for seq, _ in arriving], [more for _, more in arriving], known_from=known_from)
    assert output == list(range(known_from + 1, known_from + 1 + len(output)))
    beyond = [seq for seq, _ in arriving if seq > known_from]
    assert len(output) >= max(beyond, default=known_from) - known_from


@given(arrivals)
async def test_an_unknown_order_begins_anywhere_and_goes_on_without_gaps(arriving: list[tuple[int, int]]) -> None:
    """Whatever comes first is its beginning."""
    output = await sent([seq for seq, _ in arriving], [more for _, more in arriving], known_from=None)
    if arriving:
        first = arriving[0][0]
        assert output == list(range(first, first + len(output)))
    else:
        assert output == []


def test_only_an_order_that_is_new_begins_at_its_beginning() -> None:
    """Not one that was there before, is known, has finished, or belongs to a socket that has not begun."""
    margin_s = id_margin_s(2.0)
    follower = wallet_follower(WalletName("default", "wallet"), margin_s)
    now = follower.opened_at
    new, there, known, finished = (UUID(int=least_id(now + margin_s, margin_s).int + number) for number in range(4))
    before = least_id(now - 1, margin_s)
    follower.meet(new)
    assert follower.progress.positions == {}
    follower.certain_until = now
    follower.older = frozenset((there,))
    follower.progress.positions[known] = 2
    follower.progress.advance(Update(finished, LAST, terminal=True, message=""))
    for order_id in (new, there, known, finished, before):
        follower.meet(order_id)
    assert follower.progress.positions == {new: 0, known: 2}
    of_order = order_follower(known, 3)
    of_order.meet(new)
    assert of_order.progress.positions == {known: 3}


@pytest.mark.parametrize("patience_s", [0.1, 2.0, 15.0])
def test_an_order_is_new_however_late_its_row_may_become_visible(patience_s: float) -> None:
    """Its id is minted, then it waits for PostgreSQL, then its statement may take as long as a statement may."""
    margin_s = id_margin_s(patience_s)
    follower = wallet_follower(WalletName("default", "wallet"), margin_s)
    follower.certain_until = now = follower.opened_at
    latest = patience_s + STATEMENT_TIMEOUT_S
    in_time, too_old = (UUID(int=int((now - age_s) * 1000) << 80) for age_s in (latest, latest + 2 * CLOCK_SKEW_S))
    follower.meet(in_time)
    follower.meet(too_old)
    assert follower.progress.positions == {in_time: 0}


def test_a_mailbox_that_overflows_tells_once_and_takes_no_more() -> None:
    """Its memory is given back at once."""
    overflows: list[str] = []
    mailbox = Mailbox(capacity_bytes=1_000)
    mailbox.on_overflow = lambda: overflows.append("overflow")
    update = Update(uuid4(), 1, terminal=False, message="x" * 200)
    for _ in range(10):
        mailbox.put(update)
    assert (overflows, mailbox.overflowed, mailbox.empty) == (["overflow"], True, True)


async def test_a_mailbox_gives_what_it_got_in_order() -> None:
    """And has its room again."""
    mailbox = Mailbox(capacity_bytes=1_000)
    updates = [Update(uuid4(), seq, terminal=False, message="x" * 100) for seq in range(3)]
    for _ in range(20):
        for update in updates:
            mailbox.put(update)
        assert not mailbox.roomy
        assert [await mailbox.get() for _ in updates] == updates
        assert mailbox.roomy
    assert not mailbox.overflowed
