"""The handbook of operations tells the truth where a machine can tell: links, verbs, manifests, SQL."""

import json
import os
import re
import subprocess
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import yaml

from devstack import binaries
from engine_common.store import statements

ROOT = Path(__file__).parents[2]
HANDBOOK = ROOT / "docs/operations.md"
TEXT = HANDBOOK.read_text()

_LINK = re.compile(r"\]\((?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [found["text"] for found in _BLOCK.finditer(TEXT) if found["language"] == language]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as the usual hosts make them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", document.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "docs/operations.md", "docs/reference/errors.md"])
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    for link in _LINK.finditer(document.read_text()):
        if "://" in link["path"]:
            continue
        target = (document.parent / link["path"]).resolve() if link["path"] else document
        assert target.exists(), link[0]
        if link["anchor"]:
            assert link["anchor"] in anchors(target), link[0]


def test_every_verb_of_make_is_one() -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = re.findall(r"(?:`|^|&& )(?:\w+=\S+ )*make ((?:[a-z-]+ ?)+)", TEXT, flags=re.MULTILINE)
    assert {"deploy", "reconcile", "audit"} <= {verb for each in named for verb in each.split()} <= verbs


def test_every_statement_is_in_the_table_of_partitions() -> None:
    """Whoever adds one says what it would mean on several databases."""
    table = TEXT.split("| statements | by account | by order id |", 1)[1].split("\n\n", 1)[0]
    present = {name for name in vars(statements) if name.isupper() and not name.startswith("_")}
    of_the_server = {"READ_READINESS", "READ_DURABILITY"}
    assert set(re.findall(r"`([A-Z_]+)`", table)) == present - of_the_server


def test_manifests_are_yaml_that_names_its_kind() -> None:
    found = [manifest for block in blocks("yaml") for manifest in yaml.safe_load_all(block)]
    assert [manifest["kind"] for manifest in found] == ["Cluster", "ScheduledBackup", "Cluster"]


def psql(database_url: str, script: str, directory: Path) -> None:
    """Run what a person would paste."""
    program = binaries.postgres_directory() / "psql"
    command = [program, "--no-psqlrc", "--quiet", f"--dbname={database_url}"]
    done = subprocess.run(command, input=script, cwd=directory, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


def test_old_orders_are_moved_out_by_the_statement_of_the_handbook(database_url: str, tmp_path: Path) -> None:
    """Of what has finished before the cut, all rows come into the file and none stays; everything else stays."""
    cut = UUID("0199a000-0000-7000-8000-000000000000")
    old, unfinished, new = (UUID(int=cut.int + distance) for distance in (-1, -2, 1))
    (block,) = blocks("sql")
    assert str(cut) in block
    with psycopg.connect(database_url, autocommit=True) as connection:
        for order_id, status in ((old, "cancelled"), (unfinished, "queued"), (new, "cancelled")):
            connection.execute(
                "INSERT INTO orders (id, fingerprint, type, token_in, token_out, amount_in, slippage_bps, user_wallet, "
                "status, version, traceparent, queued_at, finished_at) "
                "VALUES (%s, '', 'MARKET', 'a', 'b', 1, 50, 'w', %s, 1, '', now(), %s)",
                (order_id, status, "now" if status == "cancelled" else None),
            )
            connection.execute(
                "INSERT INTO order_events VALUES (%s, 1, 'status', 'queued', NULL, 1, now(), '{}')", (order_id,)
            )
            connection.execute(
                "INSERT INTO attempts (order_id, attempt, outcome, ended_at) VALUES (%s, 1, 'no_liquidity', now())",
                (order_id,),
            )
        psql(database_url, block, tmp_path)
        left = connection.execute("SELECT count(*) FROM orders").fetchone()
        assert left == (3,), "rows are gone before anybody has looked into the file"
        psql(database_url, f"{block}COMMIT;\n", tmp_path)
        archived = json.loads((tmp_path / "archive.json").read_text())
        assert [order["id"] for order in archived["orders"]] == [str(old)]
        for kind in ("events", "attempts"):
            assert [each["order_id"] for each in archived[kind]] == [str(old)]
        for left in (
            connection.execute("SELECT id FROM orders ORDER BY 1"),
            connection.execute("SELECT order_id FROM order_events ORDER BY 1"),
            connection.execute("SELECT order_id FROM attempts ORDER BY 1"),
        ):
            assert left.fetchall() == [(unfinished,), (new,)]


def test_no_secret_of_the_handbook_becomes_an_argument() -> None:
    """Every user of a machine can list the arguments of programs; what a shell expands on its own line stays in it."""
    assert "--from-literal" not in TEXT
    written = [line for block in blocks("") for line in block.splitlines() if "get secret" in line and " > " in line]
    assert written
    assert all(line.startswith("(umask 077; ") for line in written)


def test_what_secrets_are_made_from_is_written_by_the_commands_of_the_handbook() -> None:
    """Without a line's end, which would become part of the secret."""
    lines = [line for block in blocks("") for line in block.splitlines() if line.endswith("=/dev/stdin")]
    environment = {**os.environ, "REDIS_PASSWORD": "pa55", "TEST_KEY": "k3y"}
    written = {}
    for line in lines:
        command, _, maker = line.partition(" | kubectl create secret generic ")
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
        written[maker] = done.stdout
    assert written == {
        "order-engine-redis --from-file=uri=/dev/stdin": "rediss://engine:pa55@redis.example.com:6380/0",
        "order-engine-test-key --from-file=key=/dev/stdin": "k3y",
    }
