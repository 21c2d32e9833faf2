"""What the statements of `engine_common.store` do to the tables, in memory; `test_model_database.py` compares."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from psycopg import errors

from engine_common.store import statements
from simulation.model_tables import AttemptRow, EventRow, OrderRow, Parameters, minimum_in_force

_OVERDUE = timedelta(seconds=1)
_FORGOTTEN = timedelta(hours=1)
_LONGEST_DELAY = timedelta(seconds=80)
_FINISHED = ("confirmed", "failed", "cancelled")
_NOTES = ("cancel_requested", "landed")


class ModelDatabase:
    """The four tables; each method is one statement, which either happens as a whole or raises psycopg's error."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.orders: dict[UUID, OrderRow] = {}
        self.events: dict[UUID, list[EventRow]] = {}
        self.attempts: dict[tuple[UUID, int], AttemptRow] = {}
        self.signatures: dict[str, AttemptRow] = {}
        self.beats: dict[UUID, datetime] = {}
        self._statements: Mapping[str, Callable[[Parameters], tuple[list[tuple[Any, ...]], int]]] = {
            statements.CREATE: _rows(self._create),
            statements.FIND_CREATED: _rows(self._find_created),
            statements.FIND_BY_KEY: _rows(self._find_by_key),
            statements.MOVE: _rows(self._move),
            statements.CLAIM: _rows(self._claim),
            statements.SWEEP: _rows(self._sweep),
            statements.READ_OWNED: _rows(self._read_owned),
            statements.READ_OWN: _rows(self._read_own),
            statements.READ_ORDER: _rows(self._read_order),
            statements.READ_ATTEMPT: _rows(self._read_attempt),
            statements.READ_EVENTS: _rows(self._read_events),
            statements.RELEASE: self._release,
            statements.BEAT: _rows(self._beat),
            statements.FORGET_WORKER: _rows(self._forget_worker),
            statements.FORGET_WORKERS: _rows(self._forget_workers),
        }

    def execute(self, statement: str, parameters: Parameters) -> tuple[list[tuple[Any, ...]], int]:
        """Carry out one of the engine's statements; return its rows and their number, or that of rows written."""
        return self._statements[statement](parameters)

    # --- What observers of a simulation override or hear ---------------------------------------------------------

    def fits(self, row: OrderRow, move: Parameters) -> bool:
        """Tell whether the compare-and-set of a move finds the row."""
        return (row.version, row.status, row.lease_epoch) == (move["version"], move["source"], move["epoch"])

    def stopped(self, row: OrderRow, move: Parameters) -> bool:
        """Tell whether the order ends with this attempt, because its owner has asked for its cancellation."""
        ends = move["source"] == "submitted" and move["target"] in ("routing", "failed")
        return ends and row.cancel_requested_at is not None

    def on_missed(self, row: OrderRow | None, move: Parameters) -> None:
        """Hear of a move that found no row."""

    def on_moved(self, row: OrderRow, move: Parameters) -> None:
        """Hear of a move that was carried out; `row` is as the move left it."""

    def on_claimed(self, row: OrderRow, former: UUID | None) -> None:
        """Hear of a claim; `former`: who owned the order before."""

    # --- Creating and reading ------------------------------------------------------------------------------------

    def _create(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        created: list[tuple[Any, ...]] = []
        for order in orjson.loads(parameters["orders"]):
            order_id = UUID(order["id"])
            key = order["idempotency_key"]
            if order_id in self.orders or (key is not None and self._by_key(order["account"], key)):
                continue
            now = self._now()
            order |= {"id": order_id, "fingerprint": _bytes(order["fingerprint"])}
            times = {"state_since": now, "created_at": now, "updated_at": now}
            row = OrderRow(**order, **times, queued_at=now if order["status"] == "queued" else None)
            self.orders[order_id] = row
            self.events[order_id] = [EventRow(order_id, 1, "status", row.status, None, 1, now, {})]
            created.append((order_id, now))
        return created

    def _by_key(self, account: str, key: str) -> OrderRow | None:
        found = (row for row in self.orders.values() if (row.account, row.idempotency_key) == (account, key))
        return next(found, None)

    def _find_created(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        ids = set(parameters["ids"])
        return [(row.id, row.created_at) for row in self.orders.values() if row.id in ids]

    def _find_by_key(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        row = self._by_key(parameters["account"], parameters["key"])
        return [(row.fingerprint, *row.columns())] if row else []

    def _read_order(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        row = self.orders.get(parameters["id"])
        return [row.columns()] if row and row.account == parameters["account"] else []

    def _read_own(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        row = self.orders.get(parameters["id"])
        return [row.columns()] if row and row.worker_id == parameters["worker_id"] else []

    def _read_attempt(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        row = self.attempts.get((parameters["id"], parameters["attempt"]))
        if row is None or row.signature is None:
            return []
        return [(row.signature, row.signed_transaction, row.last_valid_block_height, row.signer)]

    def _read_events(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        found = [event for event in self.events.get(parameters["id"], []) if event.seq > parameters["after"]]
        return [tuple(getattr(event, name) for name in EventRow.__slots__) for event in found]

    # --- The one door --------------------------------------------------------------------------------------------

    def _move(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        now = self._now()
        moving: list[tuple[OrderRow, dict[str, Any]]] = []
        for move in sorted(orjson.loads(parameters["moves"]), key=lambda move: move["id"]):
            row = self.orders.get(UUID(move["id"]))
            if row is not None and self.fits(row, move):
                moving.append((row, move))
            else:
                self.on_missed(row, move)
        signing: set[str] = set()
        moving = [(row, self._judged(row, move)) for row, move in moving]
        for row, move in moving:
            self._check_order(row, move)
            self._check_attempts(row, move, signing)
        for row, move in moving:
            self._carry_out(row, move, now)
            self.on_moved(row, move)
        return [(row.id, row.version, row.updated_at, row.status) for row, _ in moving]

    def _judged(self, row: OrderRow, move: dict[str, Any]) -> dict[str, Any]:
        """Return the move with its actual target, and the attempt that it leaves."""
        judged = move | {"noted": move["type"] in _NOTES, "left": move["attempt"] - (move["type"] == "retrying")}
        if not self.stopped(row, move):
            return judged
        data = {"errorCode": move.get("outcome"), "errorReason": move.get("outcome_reason")}
        instead = {"target": "cancelled", "type": "status", "attempt": judged["left"], "data": data}
        return judged | instead | dict.fromkeys(("delay_ms", "error_code", "error_reason"))

    def _check_order(self, row: OrderRow, move: Parameters) -> None:
        """Refuse what the CHECKs on `orders` refuse."""
        target = move["target"]
        minimum = minimum_in_force(row, move)
        paid = move.get("amount_out")
        signature = move.get("signature") or row.tx_hash
        if (
            (minimum is not None and minimum <= 0)
            or (paid is not None and paid <= 0)
            or move["attempt"] <= 0
            or (target == "confirmed" and (signature is None or paid is None))
            or (target == "failed" and move.get("error_code") is None)
        ):
            raise errors.CheckViolation(f"order {row.id} cannot become {target} like that")

    def _check_attempts(self, row: OrderRow, move: Parameters, signing: set[str]) -> None:
        """Refuse what `attempts` refuses: its keys, its CHECKs and its trigger."""
        signature = move.get("signature")
        if move["target"] == "submitted" and not move["noted"]:
            if minimum_in_force(row, move) is None:
                raise errors.CheckViolation(f"attempt {move['attempt']} of order {row.id} has no minimum output")
            known = signature in self.signatures or signature in signing
            if known or (row.id, move["attempt"]) in self.attempts:
                raise errors.UniqueViolation(f"attempt {move['attempt']} of order {row.id} is there already")
            signing.add(str(signature))
        if move.get("outcome") is None:
            return
        if move["left"] <= 0:
            raise errors.CheckViolation(f"there is no attempt {move['left']}")
        ended = self.attempts.get((row.id, move["left"]))
        if ended is not None and ended.outcome is not None:
            raise errors.RaiseException(f"attempt {ended.attempt} of order {row.id} is written once")

    def _carry_out(self, row: OrderRow, move: Parameters, now: datetime) -> None:
        target, retrying = move["target"], move["target"] == "routing"
        row.status = target
        row.version += 1
        row.attempt = move["attempt"]
        row.venue = None if retrying else move.get("venue") or row.venue
        row.pool = None if retrying else move.get("pool") or row.pool
        row.routing = None if retrying else move.get("routing") or row.routing
        row.tx_hash = None if retrying else move.get("signature") or row.tx_hash
        row.effective_min_amount_out = minimum_in_force(row, move)
        row.amount_out = move.get("amount_out")
        row.error_code, row.error_reason = move.get("error_code"), move.get("error_reason")
        delay_ms = move.get("delay_ms")
        row.not_before = None if delay_ms is None else now + timedelta(milliseconds=delay_ms)
        row.updated_at = now
        if not move["noted"]:
            row.state_since = now
        if move["type"] == "cancel_requested":
            row.cancel_requested_at = now
        if move["type"] == "landed":
            row.landed_at = now
        if target == "queued":
            row.queued_at = now
        if target in _FINISHED:
            row.finished_at = now
        source = None if move["noted"] else move["source"]
        event = EventRow(row.id, row.version, move["type"], target, source, row.attempt, now, move["data"])
        self._write_event(event)
        self._write_attempts(row, move)

    def _write_event(self, event: EventRow) -> None:
        history = self.events[event.order_id]
        if any(written.seq == event.seq for written in history[-2:]):
            raise errors.UniqueViolation(f"event {event.seq} of order {event.order_id} is there already")
        history.append(event)

    def _write_attempts(self, row: OrderRow, move: Parameters) -> None:
        if move["target"] == "submitted" and not move["noted"]:
            transaction, height = _bytes(move["signed_transaction"]), move["last_valid_block_height"]
            minimum = row.effective_min_amount_out
            begun = AttemptRow(row.id, row.attempt, move["signature"], transaction, height, minimum, move["signer"])
            self.attempts[row.id, row.attempt] = self.signatures[move["signature"]] = begun
        outcome = move.get("outcome")
        if outcome is not None:
            key = (row.id, move["left"])
            ended = self.attempts.setdefault(key, AttemptRow(*key, None, None, None, None))
            ended.outcome, ended.reason = outcome, move.get("outcome_reason")

    # --- Ownership -----------------------------------------------------------------------------------------------

    def _unfinished(self, row: OrderRow) -> bool:
        return row.queued_at is not None and row.finished_at is None

    def _due(self, row: OrderRow) -> bool:
        now = self._now()
        return row.not_before is None or row.not_before <= now or row.not_before > now + _LONGEST_DELAY

    def recoverable(self, row: OrderRow, lease_s: float) -> bool:
        """Tell whether the order is to be executed, due, and not owned by a worker with a fresh heartbeat."""
        if not (self._unfinished(row) and self._due(row)):
            return False
        beat = None if row.worker_id is None else self.beats.get(row.worker_id)
        return beat is None or not self.fresh(beat, lease_s)

    def fresh(self, beat: datetime, lease_s: float) -> bool:
        """Tell whether a heartbeat lies within a lease of now, on either side."""
        return abs(beat - self._now()) < timedelta(seconds=lease_s)

    def _claim(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        wanted = sorted({order_id for order_id in parameters["ids"] if order_id in self.orders})
        rows = [self.orders[order_id] for order_id in wanted]
        return self._take([row for row in rows if self.recoverable(row, parameters["lease_s"])], parameters)

    def _sweep(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        now = self._now()
        rows = [
            row
            for _, row in sorted(self.orders.items())
            if (row.lease_epoch > 0 or abs(row.state_since - now) > _OVERDUE)
            and self.recoverable(row, parameters["lease_s"])
        ]
        return self._take(rows[: parameters["room"]], parameters)

    def _take(self, rows: Sequence[OrderRow], parameters: Parameters) -> list[tuple[Any, ...]]:
        now = self._now()
        taken: list[tuple[Any, ...]] = []
        for row in rows:
            former, row.worker_id = row.worker_id, parameters["worker_id"]
            row.version += row.lease_epoch > 0
            row.lease_epoch += 1
            row.updated_at = now
            if row.lease_epoch > 1:
                self._write_event(EventRow(row.id, row.version, "recovered", row.status, None, row.attempt, now, {}))
            self.on_claimed(row, former)
            taken.append((*row.columns(), former is not None))
        return taken

    def _read_owned(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        owner = parameters["worker_id"]
        rows = (row for row in self.orders.values() if row.worker_id == owner)
        return [(row.id, row.lease_epoch) for row in rows if self._unfinished(row) and self._due(row)]

    def _release(self, parameters: Parameters) -> tuple[list[tuple[Any, ...]], int]:
        owner = parameters["worker_id"]
        rows = [row for row in self.orders.values() if row.worker_id == owner and self._unfinished(row)]
        for row in rows:
            row.worker_id = None
            row.lease_epoch += 1
        return [], len(rows)

    def _beat(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        self.beats[parameters["worker_id"]] = self._now()
        return []

    def _forget_worker(self, parameters: Parameters) -> list[tuple[Any, ...]]:
        self.beats.pop(parameters["worker_id"], None)
        return []

    def _forget_workers(self, parameters: Parameters) -> list[tuple[Any, ...]]:  # noqa: ARG002 - every statement has them
        now = self._now()
        self.beats = {worker: beat for worker, beat in self.beats.items() if abs(beat - now) <= _FORGOTTEN}
        return []


def _rows(
    statement: Callable[[Parameters], list[tuple[Any, ...]]],
) -> Callable[[Parameters], tuple[list[tuple[Any, ...]], int]]:
    def execute(parameters: Parameters) -> tuple[list[tuple[Any, ...]], int]:
        rows = statement(parameters)
        return rows, len(rows)

    return execute


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("\\x"))
