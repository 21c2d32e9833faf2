"""The handbook of operations tells the truth where a machine can tell: links, verbs, manifests, SQL."""

import re
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import yaml

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


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "docs/operations.md"])
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
    of_the_server = {"PING", "READ_DURABILITY"}
    assert set(re.findall(r"`([A-Z_]+)`", table)) == present - of_the_server


def test_manifests_are_yaml_that_names_its_kind() -> None:
    found = [manifest for block in blocks("yaml") for manifest in yaml.safe_load_all(block)]
    assert [manifest["kind"] for manifest in found] == ["Cluster", "ScheduledBackup", "Cluster"]


def test_old_orders_are_moved_out_by_the_statement_of_the_handbook(database_url: str) -> None:
    """Of what has finished before the cut, all rows come out and none stays; everything else stays."""
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
        setting, statement = block.split(";", 1)
        connection.execute(setting)  # pyright: ignore[reportArgumentType]
        archived = connection.execute(statement.split(";")[0]).fetchone()  # pyright: ignore[reportArgumentType]
        assert archived is not None
        orders, events, attempts = archived
        assert [order["id"] for order in orders] == [str(old)]
        assert [event["order_id"] for event in events] == [attempt["order_id"] for attempt in attempts] == [str(old)]
        for left in (
            connection.execute("SELECT id FROM orders ORDER BY 1"),
            connection.execute("SELECT order_id FROM order_events ORDER BY 1"),
            connection.execute("SELECT order_id FROM attempts ORDER BY 1"),
        ):
            assert left.fetchall() == [(unfinished,), (new,)]
