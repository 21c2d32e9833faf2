"""Backup, loss, restore: what was swapped stays swapped, and orders end by the chain instead of being swapped again."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from devstack import binaries
from support.backends import Share
from support.databases import temporary_database
from support.running_stack import RunningStack, running_stack


def run_postgres_tool(name: str, *arguments: str) -> None:
    tool = binaries.postgres_directory() / name
    subprocess.run([tool, *arguments], check=True, capture_output=True, env={}, timeout=60)


def reconciled(stack: RunningStack) -> str:
    """Return the last line of what `make reconcile APPLY=1` prints."""
    command = ["-m", "devstack", "reconcile", "--apply"]
    done = subprocess.run([sys.executable, *command], env=stack.environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_orders_that_were_swapped_after_the_backup_are_not_swapped_again(tmp_path: Path, backends: Share) -> None:
    """As docs/operations.md says: restore without workers, reconcile, audit."""
    backup = tmp_path / "orders.dump"
    with (
        temporary_database(backends.admin_url) as lost_url,
        running_stack(tmp_path / "stack", DATABASE_URL=lost_url, REDIS_URL=backends.redis_url) as stack,
    ):
        stack.signal_family("worker-1", signal.SIGSTOP)
        under_way = [stack.place()["orderId"] for _ in range(3)]
        run_postgres_tool("pg_dump", "--format=custom", f"--file={backup}", f"--dbname={lost_url}")
        stack.signal_family("worker-1", signal.SIGCONT)
        late = stack.place()["orderId"]
        swapped = {order_id: stack.finished(order_id) for order_id in (*under_way, late)}
        assert {order["status"] for order in swapped.values()} == {"confirmed"}

    with temporary_database(backends.admin_url) as url:
        run_postgres_tool("pg_restore", "--no-owner", f"--dbname={url}", str(backup))
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM workers")  # as if the last heartbeat were half a minute ago
        with running_stack(tmp_path / "stack", DATABASE_URL=url, REDIS_URL=backends.redis_url, WORKERS="0") as stack:
            assert reconciled(stack) == (
                "unfinished orders ended: confirmed 3, failed 0, cancelled 0; swaps of orders that are gone: 1"
            )
            for order_id in under_way:
                found = stack.order(order_id)
                for name in ("status", "txHash", "amountOut", "executionPrice", "venue"):
                    assert found[name] == swapped[order_id][name]
            audit = stack.audit("--settled").stdout
            assert re.findall(r"^unexplained: order (\S+) \(not in the database\)", audit, re.MULTILINE) == [late]
            assert audit.splitlines()[-1] == "lost 0, doubled 0, unexplained 1"
