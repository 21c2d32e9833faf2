"""Every SQL statement of orders, as static text with named parameters; `audit.py` has the audit's own."""

# The columns of engine_common.orders.Order, in the order of its fields, and those of Event.
_ORDER = """
    o.id, o.account, o.type, o.token_in, o.token_out, o.amount_in, o.slippage_bps, o.min_amount_out,
    o.effective_min_amount_out, o.user_wallet, o.status, o.version, o.attempt, o.venue, o.pool, o.routing::text,
    o.amount_out, o.tx_hash, o.error_code, o.error_reason, o.traceparent, o.lease_epoch, o.not_before, o.state_since,
    o.cancel_requested_at, o.landed_at, o.created_at, o.updated_at
"""
_EVENT = "e.order_id, e.seq, e.type, e.status, e.previous_status, e.attempt, e.at, e.data"

# --- The one door -----------------------------------------------------------------------------------------------

# Locks first and in id order: without that, overlapping batches deadlock. A row that the compare-and-set does not
# find changes nothing and does not come back. `judged` decides under the lock: when the owner asked to cancel before
# the chain ended the attempt, the order ends instead of being tried again, and the answer carries the actual target.
# The events `cancel_requested` and `landed` leave the status and the time of its beginning as they are.
MOVE = """
WITH input AS (
    SELECT * FROM json_to_recordset(%(moves)s::json) AS t(
        id uuid, version int, source text, epoch int, target text, type text, attempt int, data json, delay_ms int,
        venue text, pool text, routing text, effective_min_amount_out numeric(20, 0), amount_out numeric(20, 0),
        error_code text, error_reason text, signature text, signed_transaction bytea, last_valid_block_height bigint,
        signer text, outcome text, outcome_reason text)
), locked AS MATERIALIZED (
    SELECT i.*, o.cancel_requested_at IS NOT NULL AND i.source = 'submitted' AND i.target IN ('routing', 'failed')
                AS stopped, i.type IN ('cancel_requested', 'landed') AS noted,
           i.attempt - (i.type = 'retrying')::int AS attempt_left
    FROM orders o JOIN input i USING (id) ORDER BY o.id FOR NO KEY UPDATE OF o
), judged AS (
    SELECT i.*, CASE WHEN stopped THEN 'cancelled' ELSE target END AS goal,
           CASE WHEN stopped THEN 'status' ELSE type END AS goal_type,
           CASE WHEN stopped THEN attempt_left ELSE attempt END AS goal_attempt,
           CASE WHEN stopped THEN json_build_object('errorCode', outcome, 'errorReason', outcome_reason)
                ELSE data END AS goal_data
    FROM locked i
), moved AS (
    UPDATE orders o SET
        status = i.goal,
        version = o.version + 1,
        attempt = i.goal_attempt,
        -- A retry starts over: what the spent attempt chose and sent is history.
        venue = CASE WHEN i.goal = 'routing' THEN NULL ELSE coalesce(i.venue, o.venue) END,
        pool = CASE WHEN i.goal = 'routing' THEN NULL ELSE coalesce(i.pool, o.pool) END,
        routing = CASE WHEN i.goal = 'routing' THEN NULL ELSE coalesce(i.routing::json, o.routing) END,
        tx_hash = CASE WHEN i.goal = 'routing' THEN NULL ELSE coalesce(i.signature, o.tx_hash) END,
        effective_min_amount_out = coalesce(o.effective_min_amount_out, i.effective_min_amount_out),
        amount_out = i.amount_out,
        error_code = CASE WHEN NOT i.stopped THEN i.error_code END,
        error_reason = CASE WHEN NOT i.stopped THEN i.error_reason END,
        not_before = CASE WHEN NOT i.stopped THEN clock_timestamp() + i.delay_ms * interval '1 millisecond' END,
        state_since = CASE WHEN i.noted THEN o.state_since ELSE clock_timestamp() END,
        queued_at = CASE WHEN i.goal = 'queued' THEN clock_timestamp() ELSE o.queued_at END,
        finished_at = CASE WHEN i.goal IN ('confirmed', 'failed', 'cancelled') THEN clock_timestamp() END,
        cancel_requested_at = CASE WHEN i.type = 'cancel_requested' THEN clock_timestamp()
                                   ELSE o.cancel_requested_at END,
        landed_at = CASE WHEN i.type = 'landed' THEN clock_timestamp() ELSE o.landed_at END,
        updated_at = clock_timestamp()
    FROM judged i
    WHERE o.id = i.id AND o.version = i.version AND o.status = i.source AND o.lease_epoch = i.epoch
    RETURNING o.id, o.version, o.status, o.updated_at, o.effective_min_amount_out, o.routing, i.goal_type, i.source,
              i.noted, i.goal_attempt, i.attempt_left, i.goal_data, i.signature, i.signed_transaction,
              i.last_valid_block_height, i.signer, i.outcome, i.outcome_reason
), written AS (
    INSERT INTO order_events (order_id, seq, type, status, previous_status, attempt, at, data)
    SELECT id, version, goal_type, status, CASE WHEN NOT noted THEN source END, goal_attempt, updated_at, goal_data
    FROM moved
), begun AS (
    INSERT INTO attempts (order_id, attempt, signature, signed_transaction, last_valid_block_height, signer,
                          min_amount_out, quotes)
    SELECT id, goal_attempt, signature, signed_transaction, last_valid_block_height, signer,
           effective_min_amount_out, routing
    FROM moved WHERE status = 'submitted' AND NOT noted
), ended AS (
    -- An attempt that ends before it was signed has no row yet.
    INSERT INTO attempts AS a (order_id, attempt, outcome, reason, ended_at)
    SELECT id, attempt_left, outcome, outcome_reason, updated_at
    FROM moved WHERE outcome IS NOT NULL
    ON CONFLICT (order_id, attempt) DO UPDATE
        SET outcome = excluded.outcome, reason = excluded.reason, ended_at = excluded.ended_at
)
SELECT id, version, updated_at, status FROM moved
"""

# --- Creating ---------------------------------------------------------------------------------------------------

CREATE = """
WITH input AS (
    SELECT * FROM json_to_recordset(%(orders)s::json) AS t(
        id uuid, account text, idempotency_key text, fingerprint bytea, type text, token_in text, token_out text,
        amount_in numeric(20, 0), slippage_bps int, min_amount_out numeric(20, 0), user_wallet text, status text,
        traceparent text)
), created AS (
    INSERT INTO orders AS o (id, account, idempotency_key, fingerprint, type, token_in, token_out, amount_in,
                             slippage_bps, min_amount_out, user_wallet, status, version, traceparent, queued_at)
    SELECT id, account, idempotency_key, fingerprint, type, token_in, token_out, amount_in, slippage_bps,
           min_amount_out, user_wallet, status, 1, traceparent, CASE WHEN status = 'queued' THEN clock_timestamp() END
    FROM input
    ON CONFLICT DO NOTHING
    RETURNING o.id, o.status, o.created_at
), written AS (
    INSERT INTO order_events (order_id, seq, type, status, previous_status, attempt, at, data)
    SELECT id, 1, 'status', status, NULL, 1, created_at, '{}' FROM created
)
SELECT id, created_at FROM created
"""

# Rows that CREATE did not return: an earlier sending of the same row may have landed, or the key may be taken.
FIND_CREATED = "SELECT id, created_at FROM orders WHERE id = ANY(%(ids)s)"

FIND_BY_KEY = (
    "SELECT o.fingerprint, " + _ORDER + "FROM orders o WHERE o.account = %(account)s AND o.idempotency_key = %(key)s"
)

# --- Reading ----------------------------------------------------------------------------------------------------

READ_ORDER = "SELECT " + _ORDER + "FROM orders o WHERE o.id = %(id)s AND o.account = %(account)s"

READ_OWN = "SELECT " + _ORDER + "FROM orders o WHERE o.id = %(id)s AND o.worker_id = %(worker_id)s"

LIST_ORDERS = (
    "SELECT "
    + _ORDER
    + """
FROM orders o
WHERE o.account = %(account)s
  AND (%(before)s::uuid IS NULL OR o.id < %(before)s::uuid)
  AND (%(status)s::text IS NULL OR o.status = %(status)s::text)
  AND (%(type)s::text IS NULL OR o.type = %(type)s::text)
ORDER BY o.id DESC LIMIT %(limit)s
"""
)

LIST_WALLET_ORDERS = (
    "SELECT "
    + _ORDER
    + """
FROM orders o
WHERE o.account = %(account)s AND o.user_wallet = %(wallet)s
  AND (%(before)s::uuid IS NULL OR o.id < %(before)s::uuid)
  AND (%(status)s::text IS NULL OR o.status = %(status)s::text)
  AND (%(type)s::text IS NULL OR o.type = %(type)s::text)
ORDER BY o.id DESC LIMIT %(limit)s
"""
)

READ_EVENTS = (
    "SELECT "
    + _EVENT
    + """
FROM order_events e WHERE e.order_id = %(id)s AND e.seq > %(after)s ORDER BY e.seq
"""
)

# For all open sockets at once: what each has not sent yet.
READ_EVENTS_AFTER = (
    "SELECT "
    + _EVENT
    + """
FROM unnest(%(ids)s::uuid[], %(after)s::int[]) AS s(id, after)
JOIN order_events e ON e.order_id = s.id AND e.seq > s.after
ORDER BY e.order_id, e.seq LIMIT %(limit)s
"""
)

# The latest event of each unfinished order of a wallet, and, with `since`, of each order changed since. In pages by id:
# a wallet may have any number of them. Each half has an index of its own: a wallet's history may be long.
READ_WALLET_STATE = (
    "SELECT "
    + _EVENT
    + """
FROM (
    SELECT id, version FROM orders
    WHERE account = %(account)s AND user_wallet = %(wallet)s AND id > %(after)s AND finished_at IS NULL
    UNION ALL
    SELECT id, version FROM orders
    WHERE account = %(account)s AND user_wallet = %(wallet)s AND id > %(after)s
      AND finished_at >= %(since)s::timestamptz
    ORDER BY id LIMIT %(limit)s
) o JOIN order_events e ON e.order_id = o.id AND e.seq = o.version
ORDER BY o.id
"""
)

# For all open sockets of wallets at once: the orders with an id above each one's.
READ_NEW_WALLET_ORDERS = """
SELECT o.account, o.user_wallet, o.id
FROM unnest(%(accounts)s::text[], %(wallets)s::text[], %(after)s::uuid[]) AS s(account, wallet, after)
JOIN orders o ON o.account = s.account AND o.user_wallet = s.wallet AND o.id > s.after
"""

READ_ATTEMPT = """
SELECT signature, signed_transaction, last_valid_block_height, signer
FROM attempts WHERE order_id = %(id)s AND attempt = %(attempt)s AND signature IS NOT NULL
"""

# --- Ownership --------------------------------------------------------------------------------------------------

# The server's clock may step back. A time that lies further ahead than it can is from before the step, and holds
# nothing: no retry is put off for longer than 75 s.
_DUE = """(o.not_before IS NULL OR o.not_before <= clock_timestamp()
           OR o.not_before > clock_timestamp() + interval '80 seconds')"""

# Recoverable: to be executed, due, and not owned by a worker with a fresh heartbeat: one within a lease of now, in the
# past or in the future.
_CLAIM_CANDIDATES = (
    """
    AND o.queued_at IS NOT NULL AND o.finished_at IS NULL
    AND """
    + _DUE
    + """
    AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker_id
                    AND w.beat_at > clock_timestamp() - %(lease_s)s * interval '1 second'
                    AND w.beat_at < clock_timestamp() + %(lease_s)s * interval '1 second')
"""
)

_CLAIM = (
    """
), claimed AS (
    UPDATE orders o SET
        worker_id = %(worker_id)s,
        lease_epoch = o.lease_epoch + 1,
        version = o.version + (o.lease_epoch > 0)::int,
        updated_at = clock_timestamp()
    FROM candidates c WHERE o.id = c.id
    RETURNING """
    + _ORDER
    + """, c.worker_id IS NOT NULL AS deserted
), recovered AS (
    INSERT INTO order_events (order_id, seq, type, status, previous_status, attempt, at, data)
    SELECT id, version, 'recovered', status, NULL, attempt, updated_at, '{}' FROM claimed WHERE lease_epoch > 1
)
SELECT * FROM claimed ORDER BY id
"""
)

CLAIM = (
    """
WITH candidates AS MATERIALIZED (
    SELECT o.id, o.worker_id FROM orders o WHERE o.id = ANY(%(ids)s::uuid[])
"""
    + _CLAIM_CANDIDATES
    + " ORDER BY o.id FOR NO KEY UPDATE OF o SKIP LOCKED"
    + _CLAIM
)

# What the dead owned or a worker released goes on at once; what nobody ever claimed, once its message is overdue.
SWEEP = (
    """
WITH candidates AS MATERIALIZED (
    SELECT o.id, o.worker_id FROM orders o
    WHERE (o.lease_epoch > 0 OR o.state_since < clock_timestamp() - interval '1 second'
           OR o.state_since > clock_timestamp() + interval '1 second')
"""
    + _CLAIM_CANDIDATES
    + " ORDER BY o.id LIMIT %(room)s FOR NO KEY UPDATE OF o SKIP LOCKED"
    + _CLAIM
)

READ_OWNED = (
    """
SELECT o.id, o.lease_epoch FROM orders o
WHERE o.worker_id = %(worker_id)s AND o.queued_at IS NOT NULL AND o.finished_at IS NULL
  AND """
    + _DUE
)

RELEASE = """
UPDATE orders o SET worker_id = NULL, lease_epoch = o.lease_epoch + 1
WHERE o.worker_id = %(worker_id)s AND o.queued_at IS NOT NULL AND o.finished_at IS NULL
"""

# --- Workers ----------------------------------------------------------------------------------------------------

BEAT = """
INSERT INTO workers AS w (id, host) VALUES (%(worker_id)s, %(host)s)
ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp()
"""

FORGET_WORKERS = """
DELETE FROM workers
WHERE beat_at < clock_timestamp() - interval '1 hour' OR beat_at > clock_timestamp() + interval '1 hour'
"""

FORGET_WORKER = "DELETE FROM workers WHERE id = %(worker_id)s"

# --- Operation --------------------------------------------------------------------------------------------------

# Only as far as it matters, so that an endless backlog does not make the counting endless too.
COUNT_UNFINISHED = """
SELECT count(*) FROM (
    SELECT FROM orders o WHERE o.queued_at IS NOT NULL AND o.finished_at IS NULL LIMIT %(at_most)s
) unfinished
"""

COUNT_PENDING = """
SELECT count(*) FROM (
    SELECT FROM orders o WHERE o.account = %(account)s AND o.queued_at IS NULL AND o.finished_at IS NULL
    LIMIT %(at_most)s
) pending
"""

# What a role may not see of other sessions is null, and means nothing.
READ_DURABILITY = """
SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'async'),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state <> 'async'),
       (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL),
       pg_backend_pid(), current_setting('statement_timeout')
"""

# Names all columns that this version reads, of no order: PostgreSQL refuses it where the schema lacks one.
READ_READINESS = (
    """
SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable,
       has_table_privilege('orders', 'INSERT') AND has_table_privilege('orders', 'UPDATE') AS permitted
FROM (SELECT) one LEFT JOIN (SELECT """
    + _ORDER
    + "FROM orders o LIMIT 0) none ON true"
)
