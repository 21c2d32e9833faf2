-- depends: 0002_hold_u64_and_keep_what_was_asked
SET lock_timeout = '5s';

-- Pending orders of an account are bounded, and counted by this index alone. Its predicate names only columns that other
-- predicates name already, so that updates stay heap-only.
CREATE INDEX orders_pending ON orders (account) WHERE queued_at IS NULL AND finished_at IS NULL;
