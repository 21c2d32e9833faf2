"""What the schema itself refuses, whatever the code above it does."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors, sql

from engine_common.store.pool import Connection, Pool
from engine_common.transitions import TERMINAL, Status
from support.orders import WALLET, insert_row, new_id


@pytest.fixture
async def connection(shared_pool: Pool) -> AsyncIterator[Connection]:
    async with shared_pool.connection() as lent:
        yield lent


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount_in", 0),
        ("amount_in", -1),
        ("amount_out", 0),
        ("amount_out", -1),
        ("min_amount_out", -1),
        ("min_amount_out", 2**64),
        ("amount_in", 2**64),
        ("amount_out", 2**64),
        ("effective_min_amount_out", 2**64),
        ("effective_min_amount_out", 0),
        ("slippage_bps", -1),
        ("slippage_bps", 10_001),
        ("type", "LIMIT"),
        ("status", "open"),
        ("token_out", "SOL"),
        ("version", 0),
        ("attempt", 0),
        ("lease_epoch", -1),
        ("account", ""),
        ("account", "a" * 65),
        ("idempotency_key", ""),
        ("idempotency_key", "k" * 301),
        ("user_wallet", ""),
        ("user_wallet", "w" * 65),
        ("queued_at", None),
    ],
)
async def test_an_order_that_cannot_be_is_refused(connection: Connection, column: str, value: object) -> None:
    """Amounts are positive, texts have a length, states are those of the machine."""
    with pytest.raises(errors.CheckViolation):
        await insert_row(connection, **{column: value})


@pytest.mark.parametrize("column", ["account", "fingerprint", "token_in", "user_wallet", "traceparent", "amount_in"])
async def test_what_every_order_has_cannot_be_missing(connection: Connection, column: str) -> None:
    """Null is no account: with it neither the idempotency key nor the pages would hold."""
    with pytest.raises(errors.NotNullViolation):
        await insert_row(connection, **{column: None})


@pytest.mark.parametrize(
    ("status", "missing"),
    [
        (Status.CONFIRMED, "tx_hash"),
        (Status.CONFIRMED, "amount_out"),
        (Status.CONFIRMED, "finished_at"),
        (Status.FAILED, "error_code"),
        (Status.FAILED, "finished_at"),
        (Status.CANCELLED, "finished_at"),
    ],
)
async def test_a_finished_order_says_how_and_when(connection: Connection, status: Status, missing: str) -> None:
    """Nothing is confirmed without a transaction and an amount, and nothing failed without a reason."""
    with pytest.raises(errors.CheckViolation):
        await insert_row(connection, status, **{missing: None})


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL - {Status.PENDING}))
async def test_an_unfinished_order_has_no_end(connection: Connection, status: Status) -> None:
    """What recovery looks for is what is not finished."""
    with pytest.raises(errors.CheckViolation):
        await insert_row(connection, status, finished_at="2026-01-01T00:00:00Z")


@pytest.mark.parametrize("status", sorted(TERMINAL))
@pytest.mark.parametrize(
    "change",
    ["status = 'queued', finished_at = NULL", "worker_id = gen_random_uuid()", "amount_out = 7", "updated_at = now()"],
)
async def test_a_terminal_row_stays_as_it_is(connection: Connection, status: Status, change: str) -> None:
    """Not only its state: no column changes any more."""
    order_id = await insert_row(connection, status)
    statement = sql.SQL("UPDATE orders SET {} WHERE id = %s").format(sql.SQL(change))
    with pytest.raises(errors.RaiseException, match="nothing leaves a terminal state"):
        await connection.execute(statement, (order_id,))


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_a_terminal_row_cannot_be_deleted(connection: Connection, status: Status) -> None:
    """History is kept."""
    order_id = await insert_row(connection, status)
    with pytest.raises(errors.RaiseException):
        await connection.execute("DELETE FROM orders WHERE id = %s", (order_id,))


async def test_an_idempotency_key_is_taken_once_an_account(connection: Connection) -> None:
    """Another account may use the same key, and orders without a key are any number."""
    key = str(new_id())
    await insert_row(connection, idempotency_key=key)
    with pytest.raises(errors.UniqueViolation):
        await insert_row(connection, idempotency_key=key)
    await insert_row(connection, idempotency_key=key, account="other")
    await insert_row(connection, idempotency_key=None)
    await insert_row(connection, idempotency_key=None)


async def test_a_seq_is_used_once_an_order(connection: Connection) -> None:
    """So a second writer of the same version cannot hide."""
    order_id = await insert_row(connection)
    with pytest.raises(errors.UniqueViolation):
        await insert_event(connection, order_id, seq=1)
    await insert_event(connection, order_id, seq=2)


@pytest.mark.parametrize(("column", "value"), [("seq", 0), ("type", "renamed")])
async def test_an_event_that_cannot_be_is_refused(connection: Connection, column: str, value: object) -> None:
    """Events count from 1 and are of the three known types."""
    with pytest.raises(errors.CheckViolation):
        await insert_event(connection, new_id(), **{column: value})


async def test_a_signature_belongs_to_one_attempt(connection: Connection) -> None:
    """The same bytes never run twice, for no two orders either."""
    signature = str(new_id())
    await insert_attempt(connection, signature=signature)
    with pytest.raises(errors.UniqueViolation):
        await insert_attempt(connection, signature=signature)


@pytest.mark.parametrize("missing", ["signature", "signed_transaction", "last_valid_block_height", "min_amount_out"])
async def test_an_attempt_to_be_sent_has_all_that_sending_needs(connection: Connection, missing: str) -> None:
    """Without an outcome it must be recoverable by anybody: id, bytes, when they die, and the minimum output."""
    with pytest.raises(errors.CheckViolation):
        await insert_attempt(connection, **{missing: None})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("signature", "other"),
        ("signed_transaction", b"other"),
        ("last_valid_block_height", 9),
        ("min_amount_out", 9),
        ("signer", "other"),
    ],
)
async def test_what_an_attempt_sends_is_never_rewritten(connection: Connection, column: str, value: object) -> None:
    """What may have been sent stays known."""
    order_id = await insert_attempt(connection)
    statement = sql.SQL("UPDATE attempts SET {} = %s WHERE order_id = %s").format(sql.Identifier(column))
    with pytest.raises(errors.RaiseException, match="written once"):
        await connection.execute(statement, (value, order_id))


async def test_the_outcome_of_an_attempt_is_added_once(connection: Connection) -> None:
    """A verdict is not changed afterwards."""
    order_id = await insert_attempt(connection)
    end = "UPDATE attempts SET outcome = %s, ended_at = now() WHERE order_id = %s"
    await connection.execute(end, ("confirmed", order_id))
    with pytest.raises(errors.RaiseException, match="written once"):
        await connection.execute(end, ("swap_failed", order_id))


async def test_an_outcome_has_its_time_and_no_other_attempt_has_one(connection: Connection) -> None:
    """Ended means both."""
    with pytest.raises(errors.CheckViolation):
        await insert_attempt(connection, outcome="confirmed")
    with pytest.raises(errors.CheckViolation):
        await insert_attempt(connection, ended_at="2026-01-01T00:00:00Z")


async def test_an_attempt_of_an_order_is_there_once(connection: Connection) -> None:
    """A second signature for the same attempt has no place."""
    order_id = await insert_attempt(connection)
    with pytest.raises(errors.UniqueViolation):
        await insert_attempt(connection, order_id=order_id)


async def test_the_longest_names_that_the_interface_allows_have_room(connection: Connection) -> None:
    """An item of a batch has the header's key, a slash and its index."""
    await insert_row(connection, account="a" * 64, idempotency_key="k" * 255 + "/99", user_wallet=WALLET)


async def insert_event(connection: Connection, order_id: UUID, **columns: Any) -> None:
    row = {"seq": 1, "type": "status"} | columns
    await connection.execute(
        "INSERT INTO order_events (order_id, seq, type, status, attempt, at, data)"
        " VALUES (%(order_id)s, %(seq)s, %(type)s, 'queued', 1, now(), '{}')",
        {"order_id": order_id, **row},
    )


async def insert_attempt(connection: Connection, **columns: Any) -> UUID:
    row = {
        "order_id": new_id(),
        "attempt": 1,
        "signature": str(new_id()),
        "signed_transaction": b"signed",
        "last_valid_block_height": 1_000,
        "min_amount_out": 1,
        "signer": "wallet",
        "outcome": None,
        "ended_at": None,
    } | columns
    await connection.execute(
        "INSERT INTO attempts (order_id, attempt, signature, signed_transaction, last_valid_block_height,"
        " min_amount_out, signer, outcome, ended_at) VALUES (%(order_id)s, %(attempt)s, %(signature)s,"
        " %(signed_transaction)s, %(last_valid_block_height)s, %(min_amount_out)s, %(signer)s, %(outcome)s,"
        " %(ended_at)s)",
        row,
    )
    return row["order_id"]
