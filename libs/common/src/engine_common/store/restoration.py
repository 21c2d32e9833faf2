"""Ends the orders that a restored database still calls unfinished, each by what the chain's ledger says of it.

A database restored to an earlier moment does not know what was sent since then: executed again, its orders would be
swapped twice. So none of them is executed any more.
"""

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg.rows import class_row

from engine_common.errors import EngineError, TransactionExpired
from engine_common.store.pool import Connection
from engine_common.tokens import TOKENS, execution_price, to_display
from engine_common.transitions import Status

CONFIRMED = "confirmed"  # the outcome of an attempt that landed successfully

_PAGE = 500
# A worker that lives says so every second; one that was only paused may still be about to send.
_COUNT_LIVING = """
SELECT count(*) FROM workers
WHERE beat_at BETWEEN clock_timestamp() - interval '30 seconds' AND clock_timestamp() + interval '30 seconds'
"""
# Heartbeats queue behind a lock that is waited for. The session ends when this program is gone and nobody tells the
# server, and lasts longer than the ledger may take for a page.
_LIMIT_WAITING = "SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
# Held while the ledger is read: a worker that came, sent and signed off meanwhile would leave no trace. None executes
# before its first heartbeat is written, and claims only read the table, which goes on: nothing can deadlock. The mode
# also excludes itself: one reconciliation at a time.
_LOCK_WORKERS = "LOCK TABLE workers IN SHARE ROW EXCLUSIVE MODE"

_MAKE_TABLE = """
CREATE TEMPORARY TABLE landings (
    number bigint GENERATED ALWAYS AS IDENTITY, order_id uuid, attempt int NOT NULL, signature text NOT NULL,
    outcome text NOT NULL, venue text NOT NULL, pool text NOT NULL, minimum_out numeric(20, 0) NOT NULL,
    amount_out numeric(20, 0),
    CHECK (outcome <> 'confirmed' OR amount_out IS NOT NULL)) ON COMMIT DROP
"""
_COPY = "COPY landings (order_id, attempt, signature, outcome, venue, pool, minimum_out, amount_out) FROM STDIN"
_INDEX = "CREATE INDEX ON landings (order_id)"
_INDEX_SIGNATURES = "CREATE INDEX ON landings (signature)"
_ANALYSE = "ANALYZE landings"

# The landings of unfinished orders, each with the number of the attempt under which the books keep it: the known one's,
# else its own, else, where another signature has that number, one after all others. Signed attempts are written once.
_NUMBER = """
CREATE TEMPORARY TABLE tries ON COMMIT DROP AS
WITH placed AS (
    SELECT l.*, known.attempt AS known,
           known.attempt IS NULL AND taken.attempt IS NULL AND 1 = row_number() OVER (
               PARTITION BY l.order_id, l.attempt ORDER BY l.outcome = 'confirmed' DESC, l.number) AS keeps_number,
           greatest(o.attempt, max(l.attempt) OVER (PARTITION BY l.order_id),
                    (SELECT max(a.attempt) FROM attempts a WHERE a.order_id = o.id)) AS last
    FROM landings l
    JOIN orders o ON o.id = l.order_id
    LEFT JOIN attempts known ON known.order_id = l.order_id AND known.signature = l.signature
    LEFT JOIN attempts taken ON taken.order_id = l.order_id AND taken.attempt = l.attempt
    WHERE o.finished_at IS NULL
)
SELECT number, order_id, attempt, signature, outcome, venue, pool, minimum_out, amount_out, known IS NOT NULL AS known,
       CASE WHEN known IS NOT NULL THEN known
            WHEN keeps_number THEN attempt
            ELSE last + (row_number() OVER (PARTITION BY order_id, known IS NULL, keeps_number ORDER BY number))::int
       END AS kept_as
FROM placed
"""
_INDEX_TRIES = "CREATE INDEX ON tries (order_id)"
_ANALYSE_TRIES = "ANALYZE tries"

# A pending order of which nothing landed was never under way: it goes on waiting for its owner's word. Of several swaps
# the one counts that the client may have been told of.
_READ_UNFINISHED = """
SELECT o.id, o.version, o.status, o.token_in, o.token_out, o.amount_in, o.attempt, o.cancel_requested_at,
       swapped.kept_as AS landed_attempt, swapped.signature, swapped.amount_out, swapped.minimum_out, swapped.venue,
       swapped.pool, failed.outcome AS failure
FROM orders o
LEFT JOIN LATERAL (SELECT * FROM tries t WHERE t.order_id = o.id AND t.outcome = 'confirmed'
                   ORDER BY t.known DESC, t.number LIMIT 1) swapped ON true
LEFT JOIN LATERAL (SELECT * FROM tries t WHERE t.order_id = o.id AND t.outcome <> 'confirmed'
                   ORDER BY t.number DESC LIMIT 1) failed ON true
WHERE o.finished_at IS NULL AND o.id > %(after)s
  AND (o.queued_at IS NOT NULL OR swapped.signature IS NOT NULL OR failed.outcome IS NOT NULL)
ORDER BY o.id LIMIT %(limit)s FOR NO KEY UPDATE OF o
"""

_END = """
WITH input AS (
    SELECT * FROM json_to_recordset(%(endings)s::json) AS t(
        id uuid, version int, source text, target text, attempt int, signature text, amount_out numeric(20, 0),
        minimum_out numeric(20, 0), venue text, pool text, error_code text, error_reason text, data json)
), ended AS (
    UPDATE orders o SET
        status = i.target,
        version = o.version + 1,
        attempt = i.attempt,
        venue = coalesce(i.venue, o.venue),
        pool = coalesce(i.pool, o.pool),
        routing = CASE WHEN i.signature IS NULL OR i.attempt = o.attempt THEN o.routing END,
        tx_hash = coalesce(i.signature, o.tx_hash),
        amount_out = i.amount_out,
        effective_min_amount_out = coalesce(o.effective_min_amount_out, nullif(i.minimum_out, 0)),
        error_code = i.error_code,
        error_reason = i.error_reason,
        worker_id = NULL,
        lease_epoch = o.lease_epoch + 1,
        not_before = NULL,
        state_since = clock_timestamp(),
        queued_at = CASE WHEN i.target = 'confirmed' THEN coalesce(o.queued_at, clock_timestamp()) ELSE o.queued_at END,
        finished_at = clock_timestamp(),
        updated_at = clock_timestamp()
    FROM input i WHERE o.id = i.id AND o.version = i.version
    RETURNING o.id, o.version, o.attempt, o.updated_at, i.source, i.target, i.data
), written AS (
    INSERT INTO order_events (order_id, seq, type, status, previous_status, attempt, at, data)
    SELECT id, version, 'status', target, source, attempt, updated_at, data FROM ended
), known AS (
    UPDATE attempts a SET outcome = t.outcome, reason = 'read from the ledger after a restore', ended_at = e.updated_at
    FROM tries t JOIN ended e ON e.id = t.order_id
    WHERE a.order_id = t.order_id AND a.signature = t.signature AND a.outcome IS NULL
), landed AS (
    -- Without the signed bytes, which nobody has any more and nobody sends again.
    INSERT INTO attempts (order_id, attempt, signature, outcome, reason, ended_at)
    SELECT t.order_id, t.kept_as, t.signature, t.outcome,
           'read from the ledger after a restore' || CASE WHEN t.kept_as = t.attempt THEN ''
                                                          ELSE ', as attempt ' || t.attempt END,
           e.updated_at
    FROM tries t JOIN ended e ON e.id = t.order_id
    WHERE NOT t.known
    -- The database has it as another order's: the audit names what nobody can explain.
    ON CONFLICT (signature) DO NOTHING
), expired AS (
    UPDATE attempts a SET outcome = %(expired)s, reason = 'not in the ledger after a restore', ended_at = e.updated_at
    FROM ended e
    WHERE a.order_id = e.id AND a.outcome IS NULL
      AND NOT EXISTS (SELECT FROM landings l WHERE l.signature = a.signature)
)
SELECT count(*) FROM ended
"""

_READ_UNKNOWN = """
SELECT l.order_id, l.signature
FROM landings l LEFT JOIN orders o ON o.id = l.order_id
WHERE o.id IS NULL AND l.outcome = 'confirmed' ORDER BY l.number
"""


class WorkersAlive(EngineError):
    """A worker's heart beats in this database: whatever is read from the ledger may be old by the time it is used."""


class Landing(NamedTuple):
    """A transaction of the ledger; `outcome` is the one of its attempt, amounts are base units."""

    order_id: UUID | None
    attempt: int
    signature: str
    outcome: str
    venue: str
    pool: str
    minimum_out: int
    amount_out: int | None


@dataclass(frozen=True)
class Ending:
    """How an order ended that the restored database called unfinished."""

    order_id: UUID
    source: Status
    target: Status
    signature: str | None


@dataclass(frozen=True)
class UnknownSwap:
    """A successful landing of an order that the restored database does not have."""

    order_id: UUID | None
    signature: str


@dataclass(frozen=True)
class Reconciliation:
    """What became of the unfinished orders, and all swaps whose orders are gone."""

    endings: Sequence[Ending]
    unknown: Sequence[UnknownSwap]


@dataclass
class _Unfinished:
    id: UUID
    version: int
    status: str
    token_in: str
    token_out: str
    amount_in: int
    attempt: int
    cancel_requested_at: datetime | None
    landed_attempt: int | None
    signature: str | None
    amount_out: int | None
    minimum_out: int | None
    venue: str | None
    pool: str | None
    failure: str | None


async def reconcile(connection: Connection, ledger: AsyncIterable[Sequence[Landing]], *, apply: bool) -> Reconciliation:
    """End every order under way by the ledger, in one transaction: confirmed if swapped, else failed or cancelled.

    Whatever was sent must have been decided: no worker may have run for as long as a transaction is valid, and none
    can begin until this is over. Without `apply` the transaction is rolled back. The connection is in autocommit.

    Raises WorkersAlive; psycopg.errors.LockNotAvailable when somebody holds the table of workers.
    """
    await _require_no_worker(connection)  # before its heart has to wait for a lock
    async with connection.transaction(force_rollback=not apply):
        for statement in (_LIMIT_WAITING, _LOCK_WORKERS):
            await connection.execute(statement)
        await _require_no_worker(connection)
        await _keep(connection, ledger)
        endings = await _end_unfinished(connection)
        async with connection.cursor(row_factory=class_row(UnknownSwap)) as cursor:
            await cursor.execute(_READ_UNKNOWN)
            return Reconciliation(endings, await cursor.fetchall())


async def _require_no_worker(connection: Connection) -> None:
    rows = await (await connection.execute(_COUNT_LIVING)).fetchall()
    if rows[0][0]:
        raise WorkersAlive(f"workers showed signs of life in the last 30 s ({rows[0][0]}): stop them first")


async def _keep(connection: Connection, ledger: AsyncIterable[Sequence[Landing]]) -> None:
    await connection.execute(_MAKE_TABLE)
    async for page in ledger:
        async with connection.cursor().copy(_COPY) as copy:
            for landing in page:
                await copy.write_row(landing)
    for statement in (_INDEX, _INDEX_SIGNATURES, _ANALYSE, _NUMBER, _INDEX_TRIES, _ANALYSE_TRIES):
        await connection.execute(statement)


async def _end_unfinished(connection: Connection) -> list[Ending]:
    endings: list[Ending] = []
    after = UUID(int=0)
    while unfinished := await _read_unfinished(connection, after):
        ends = [_end(order) for order in unfinished]
        text = orjson.dumps(ends).decode()
        await connection.execute(_END, {"endings": text, "expired": TransactionExpired.code})
        endings += [Ending(end["id"], end["source"], end["target"], end.get("signature")) for end in ends]
        after = unfinished[-1].id
    return endings


async def _read_unfinished(connection: Connection, after: UUID) -> list[_Unfinished]:
    async with connection.cursor(row_factory=class_row(_Unfinished)) as cursor:
        await cursor.execute(_READ_UNFINISHED, {"after": after, "limit": _PAGE})
        return await cursor.fetchall()


def _end(order: _Unfinished) -> dict[str, Any]:
    """Return the row of an order's end: confirmed if swapped, failed if submitted, else (or on request) cancelled."""
    common = {"id": order.id, "version": order.version, "source": Status(order.status)}
    if order.signature is not None and order.amount_out is not None:
        token_in, token_out = TOKENS[order.token_in], TOKENS[order.token_out]
        data = {
            "txHash": order.signature,
            "executionPrice": execution_price(order.amount_in, token_in, order.amount_out, token_out),
            "amountOut": to_display(order.amount_out, token_out),
        }
        return common | {
            "target": Status.CONFIRMED,
            "attempt": order.landed_attempt,
            "signature": order.signature,
            "amount_out": order.amount_out,
            "minimum_out": order.minimum_out,
            "venue": order.venue,
            "pool": order.pool,
            "data": data | {"restored": True},
        }
    reason = "the database was restored to an earlier moment, and nothing of this order was swapped"
    sent = order.status == Status.SUBMITTED and order.cancel_requested_at is None
    code = (order.failure or TransactionExpired.code) if sent else None
    return common | {
        "target": Status.FAILED if code else Status.CANCELLED,
        "attempt": order.attempt,
        "error_code": code,
        "error_reason": reason,
        "data": ({"errorCode": code} if code else {}) | {"errorReason": reason, "restored": True},
    }
