"""Backup, loss, restore: what was swapped stays swapped, and orders end by the chain instead of being swapped again."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from devstack import binaries
from support.backends import Share
from support.databases import temporary_database
from support.running_stack import RunningStack, running_stack

HANDBOOK = (Path(__file__).parents[2] / "docs/operations.md").read_text()


def command_of_the_handbook(pattern: str) -> str:
    found = re.search(pattern, HANDBOOK, re.DOTALL)
    assert found, pattern
    return found[1]


BACK_UP = command_of_the_handbook(r"kubectl exec order-engine-postgres-0 -- (pg_dump [^>]+) > orders\.dump")
RESTORE = command_of_the_handbook(r"kubectl exec -i order-engine-postgres-0 -- sh -c '([^']+)' < orders\.dump")


def run_on(database_url: str, command: str, *, given: bytes = b"") -> bytes:
    """Run a command that the handbook has for the pod's database `engine` and its user on another database."""
    where = conninfo_to_dict(database_url)
    command = re.sub(r"(?<!-U )\bengine\b", str(where["dbname"]), command).replace("-U engine", f"-U {where['user']}")
    environment = {f"PG{name.upper()}": str(where[name]) for name in ("host", "port", "password") if name in where}
    environment["PATH"] = f"{binaries.postgres_directory()}:/usr/bin:/bin"
    done = subprocess.run(
        ["sh", "-c", command], input=given, capture_output=True, env=environment, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def reconciled(stack: RunningStack) -> str:
    """Return the last line of what `make reconcile APPLY=1` prints."""
    command = ["-m", "devstack", "reconcile", "--apply"]
    done = subprocess.run([sys.executable, *command], env=stack.environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_orders_that_were_swapped_after_the_backup_are_not_swapped_again(tmp_path: Path, backends: Share) -> None:
    """By the commands of docs/operations.md: restore in place without workers, reconcile, audit."""
    with temporary_database(backends.admin_url) as url:
        with running_stack(tmp_path / "stack", DATABASE_URL=url, REDIS_URL=backends.redis_url) as stack:
            stack.signal_family("worker-1", signal.SIGSTOP)
            under_way = [stack.place()["orderId"] for _ in range(3)]
            backup = run_on(url, BACK_UP)
            stack.signal_family("worker-1", signal.SIGCONT)
            late = stack.place()["orderId"]
            swapped = {order_id: stack.finished(order_id) for order_id in (*under_way, late)}
            assert {order["status"] for order in swapped.values()} == {"confirmed"}

        with psycopg.connect(url):  # somebody's session does not hold it up
            run_on(url, RESTORE, given=backup)
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
