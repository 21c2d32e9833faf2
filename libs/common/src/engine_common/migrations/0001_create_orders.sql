-- depends:
SET lock_timeout = '5s';

CREATE TABLE orders (
    id              uuid PRIMARY KEY,
    account         text NOT NULL DEFAULT 'default' CHECK (length(account) BETWEEN 1 AND 64),
    idempotency_key text CHECK (length(idempotency_key) BETWEEN 1 AND 300),
    fingerprint     bytea NOT NULL,
    type            text NOT NULL CHECK (type IN ('MARKET')),
    token_in        text NOT NULL,
    token_out       text NOT NULL CHECK (token_out <> token_in),
    amount_in       bigint NOT NULL CHECK (amount_in > 0),
    slippage_bps    integer NOT NULL CHECK (slippage_bps BETWEEN 0 AND 10000),
    min_amount_out  bigint CHECK (min_amount_out >= 0),
    user_wallet     text NOT NULL CHECK (length(user_wallet) BETWEEN 1 AND 64),
    status          text NOT NULL CHECK (status IN ('pending', 'queued', 'routing', 'building', 'submitted',
                                                    'confirmed', 'failed', 'cancelled')),
    version         integer NOT NULL CHECK (version > 0),
    attempt         integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
    venue           text,
    pool            text,
    routing         json,
    amount_out      bigint CHECK (amount_out > 0),
    tx_hash         text,
    error_code      text,
    error_reason    text,
    traceparent     text NOT NULL,
    worker_id       uuid,
    lease_epoch     integer NOT NULL DEFAULT 0 CHECK (lease_epoch >= 0),
    not_before      timestamptz,
    state_since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    queued_at       timestamptz,
    finished_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'pending') = (queued_at IS NULL) OR status = 'cancelled'),
    CHECK ((status IN ('confirmed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (status <> 'confirmed' OR (tx_hash IS NOT NULL AND amount_out IS NOT NULL)),
    CHECK (status <> 'failed' OR error_code IS NOT NULL)
) WITH (fillfactor = 50);  -- room for heap-only updates: no index below covers a column that changes in every state

CREATE UNIQUE INDEX orders_idempotency ON orders (account, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX orders_account ON orders (account, id);
CREATE INDEX orders_wallet ON orders (account, user_wallet, id);
CREATE INDEX orders_wallet_unfinished ON orders (account, user_wallet, id) WHERE finished_at IS NULL;
CREATE INDEX orders_wallet_finished ON orders (account, user_wallet, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX orders_unfinished ON orders (id) WHERE queued_at IS NOT NULL AND finished_at IS NULL;

-- No foreign key to orders: rows come only from the statement that changes the order, and the check would cost every event.
CREATE TABLE order_events (
    order_id        uuid NOT NULL,
    seq             integer NOT NULL CHECK (seq > 0),
    type            text NOT NULL CHECK (type IN ('status', 'retrying', 'recovered')),
    status          text NOT NULL,
    previous_status text,
    attempt         integer NOT NULL,
    at              timestamptz NOT NULL,
    data            json NOT NULL,
    UNIQUE (order_id, seq)
);

CREATE TABLE attempts (
    order_id                uuid NOT NULL,
    attempt                 integer NOT NULL CHECK (attempt > 0),
    signature               text UNIQUE,
    signed_transaction      bytea,
    last_valid_block_height bigint,
    floor                   bigint,
    quotes                  json,
    outcome                 text,
    reason                  text,
    created_at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at                timestamptz,
    PRIMARY KEY (order_id, attempt),
    -- An attempt either was signed, with all that sending needs, or ended before that.
    CHECK (signature IS NOT NULL AND signed_transaction IS NOT NULL AND last_valid_block_height IS NOT NULL
           AND floor IS NOT NULL OR outcome IS NOT NULL),
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
) WITH (fillfactor = 50);  -- the outcome is added in place, without touching the index of signatures

CREATE TABLE workers (
    id         uuid PRIMARY KEY,
    host       text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION refuse_change_of_finished_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order % is %: nothing leaves a terminal state', OLD.id, OLD.status;
END $$;

CREATE TRIGGER finished_orders_stay_finished BEFORE UPDATE OR DELETE ON orders FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION refuse_change_of_finished_order();

CREATE FUNCTION refuse_rewriting_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attempt % of order % is written once: only its outcome is added', OLD.attempt, OLD.order_id;
END $$;

CREATE TRIGGER attempts_are_written_once BEFORE UPDATE ON attempts FOR EACH ROW
    WHEN (OLD.outcome IS NOT NULL OR OLD.signature IS DISTINCT FROM NEW.signature
          OR OLD.signed_transaction IS DISTINCT FROM NEW.signed_transaction
          OR OLD.last_valid_block_height IS DISTINCT FROM NEW.last_valid_block_height
          OR OLD.floor IS DISTINCT FROM NEW.floor)
    EXECUTE FUNCTION refuse_rewriting_attempt();
