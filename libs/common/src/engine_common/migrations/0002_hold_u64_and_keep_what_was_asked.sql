-- depends: 0001_create_orders
SET lock_timeout = '5s';

-- Amounts of Solana are unsigned 64-bit integers, and bigint holds half of them. The user's own minimum output and the
-- one in force were one column: an order whose fingerprint has no minimum got the one it shows from its first route.
-- One rewrite of the table, during which it is locked.
ALTER TABLE orders ADD COLUMN effective_min_amount_out bigint;
ALTER TABLE orders
    ALTER COLUMN slippage_bps DROP NOT NULL,
    ALTER COLUMN amount_in TYPE numeric(20, 0),
    ALTER COLUMN amount_out TYPE numeric(20, 0),
    ALTER COLUMN effective_min_amount_out TYPE numeric(20, 0)
        USING CASE WHEN status NOT IN ('pending', 'queued') THEN min_amount_out END,
    ALTER COLUMN min_amount_out TYPE numeric(20, 0)
        USING CASE WHEN fingerprint NOT IN (
            sha256(convert_to('create|' || type || '|' || token_in || '|' || token_out || '|' || amount_in || '|'
                              || slippage_bps || '|None|' || user_wallet, 'UTF8')),
            sha256(convert_to('execute|' || type || '|' || token_in || '|' || token_out || '|' || amount_in || '|'
                              || slippage_bps || '|None|' || user_wallet, 'UTF8'))) THEN min_amount_out END,
    -- Of a user's minimum and a slippage, the minimum alone used to hold. What waits was accepted on these terms.
    ALTER COLUMN slippage_bps TYPE integer
        USING CASE WHEN status NOT IN ('pending', 'queued') OR min_amount_out IS NULL THEN slippage_bps END,
    ADD COLUMN cancel_requested_at timestamptz,
    ADD COLUMN landed_at timestamptz,
    ADD CONSTRAINT orders_amounts_are_u64 CHECK (
        greatest(amount_in, amount_out, min_amount_out, effective_min_amount_out) <= 18446744073709551615),
    ADD CONSTRAINT orders_effective_min_amount_out_check CHECK (effective_min_amount_out > 0),
    ADD CONSTRAINT orders_minimum_or_slippage CHECK (slippage_bps IS NOT NULL OR min_amount_out IS NOT NULL);

ALTER TABLE order_events DROP CONSTRAINT order_events_type_check;
ALTER TABLE order_events ADD CONSTRAINT order_events_type_check
    CHECK (type IN ('status', 'retrying', 'recovered', 'cancel_requested', 'landed'));

DROP TRIGGER attempts_are_written_once ON attempts;
ALTER TABLE attempts RENAME COLUMN floor TO min_amount_out;
ALTER TABLE attempts
    ALTER COLUMN min_amount_out TYPE numeric(20, 0),
    ADD COLUMN signer text,
    ADD CONSTRAINT attempts_min_amount_out_is_u64 CHECK (min_amount_out BETWEEN 0 AND 18446744073709551615);

CREATE TRIGGER attempts_are_written_once BEFORE UPDATE ON attempts FOR EACH ROW
    WHEN (OLD.outcome IS NOT NULL OR OLD.signature IS DISTINCT FROM NEW.signature
          OR OLD.signed_transaction IS DISTINCT FROM NEW.signed_transaction
          OR OLD.last_valid_block_height IS DISTINCT FROM NEW.last_valid_block_height
          OR OLD.min_amount_out IS DISTINCT FROM NEW.min_amount_out
          OR OLD.signer IS DISTINCT FROM NEW.signer)
    EXECUTE FUNCTION refuse_rewriting_attempt();

-- Processes of the version before keep plans for the old types; they connect again and plan anew.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name IN ('api-read', 'api-write', 'worker', 'worker-heartbeat');
