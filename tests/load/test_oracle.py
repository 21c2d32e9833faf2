"""The oracle finds what is planted: for every rule a made-up story that breaks it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from load.claims import Claim
from load.evidence import AttemptRow, EventRow, LandingRow, OrderRow, assemble
from load.oracle import Violation, Wrong, judge

START = datetime(2026, 1, 1, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
# type, status, previous status, attempt
HISTORY = (
    ("status", "pending", None, 1),
    ("status", "queued", "pending", 1),
    ("status", "routing", "queued", 1),
    ("recovered", "routing", None, 1),
    ("status", "building", "routing", 1),
    ("status", "submitted", "building", 1),
    ("retrying", "routing", "submitted", 2),
    ("status", "building", "routing", 2),
    ("status", "submitted", "building", 2),
    ("recovered", "submitted", None, 2),
    ("status", "confirmed", "submitted", 2),
)


class Story:
    """An order that was confirmed at its second attempt after two recoveries, and all that is known of it."""

    def __init__(self) -> None:
        self.order = OrderRow(
            "a", "key-a", "confirmed", len(HISTORY), 2, "sig-a2", 90, f"00-{TRACE}-00f067aa0ba902b7-01"
        )
        self.events = [
            EventRow("a", seq, kind, status, before, attempt, START + timedelta(seconds=seq), _data(status, attempt))
            for seq, (kind, status, before, attempt) in enumerate(HISTORY, start=1)
        ]
        self.attempts = [AttemptRow("a", 1, "sig-a1", 80, "swap_failed"), AttemptRow("a", 2, "sig-a2", 80, "confirmed")]
        self.landings = [LandingRow("a", 1, "sig-a1", 6000, None), LandingRow("a", 2, "sig-a2", None, 90)]
        self.claims = [Claim("key-a", "a", 0.0, trace_id=TRACE)]
        self.further_orders: list[OrderRow] = []

    def judge(self) -> list[Violation]:
        evidence = assemble([self.order, *self.further_orders], self.events, self.attempts, self.landings)
        return judge(evidence, self.claims)

    def change_event(self, seq: int, /, **changes: object) -> None:
        self.events[seq - 1] = replace(self.events[seq - 1], **changes)

    def end_as(self, status: str) -> None:
        """Let the order end differently, with everything else as it is."""
        self.order = replace(self.order, status=status)
        self.change_event(len(HISTORY), status=status)


def _data(status: str, attempt: int) -> dict[str, object]:
    return {"txHash": f"sig-a{attempt}"} if status == "submitted" else {}


def test_a_story_as_it_should_be_is_not_found_fault_with() -> None:
    """Retries and recoveries are part of it."""
    assert Story().judge() == []


def gap(story: Story) -> None:
    del story.events[4]


def seq_twice(story: Story) -> None:
    story.change_event(5, seq=4)


def no_history(story: Story) -> None:
    story.events.clear()


def begins_in_the_middle(story: Story) -> None:
    story.change_event(1, status="building")


def no_such_move(story: Story) -> None:
    story.change_event(5, status="confirmed")


def after_the_end(story: Story) -> None:
    story.change_event(2, status="cancelled")


def recovered_into_another_state(story: Story) -> None:
    story.change_event(4, status="building")


def recovery_spends_an_attempt(story: Story) -> None:
    story.change_event(10, attempt=3)


def goes_on_after_a_cancel_request(story: Story) -> None:
    story.change_event(4, type="cancel_requested")


def retry_without_an_attempt(story: Story) -> None:
    story.change_event(7, attempt=1)


def retry_called_status(story: Story) -> None:
    story.change_event(7, type="status")


def claims_another_origin(story: Story) -> None:
    story.change_event(6, previous_status="routing")


def time_runs_backwards(story: Story) -> None:
    story.change_event(6, at=START)


def order_ahead_of_its_history(story: Story) -> None:
    story.order = replace(story.order, version=12)


def same_signature_twice(story: Story) -> None:
    story.attempts[0] = replace(story.attempts[0], signature="sig-a2")


def submitted_without_attempt(story: Story) -> None:
    del story.attempts[0]


def attempt_left_open(story: Story) -> None:
    story.attempts[0] = replace(story.attempts[0], outcome=None)


def two_confirmed_attempts(story: Story) -> None:
    story.attempts[0] = replace(story.attempts[0], outcome="confirmed")


def paid_below_the_floor(story: Story) -> None:
    story.attempts[1] = replace(story.attempts[1], min_amount_out=91)


ILLEGAL = (
    gap,
    seq_twice,
    no_history,
    begins_in_the_middle,
    no_such_move,
    after_the_end,
    recovered_into_another_state,
    recovery_spends_an_attempt,
    goes_on_after_a_cancel_request,
    retry_without_an_attempt,
    retry_called_status,
    claims_another_origin,
    time_runs_backwards,
    order_ahead_of_its_history,
    same_signature_twice,
    submitted_without_attempt,
    attempt_left_open,
    two_confirmed_attempts,
    paid_below_the_floor,
)


def accepted_and_not_stored(story: Story) -> None:
    story.claims.append(Claim("key-b", "b", 0.0))


def confirmed_without_landing(story: Story) -> None:
    del story.landings[1]


def confirmed_by_a_failure(story: Story) -> None:
    story.landings[1] = replace(story.landings[1], error=6001)


def both_attempts_swapped(story: Story) -> None:
    story.landings[0] = replace(story.landings[0], error=None, amount_out=90)


def two_orders_of_one_key(story: Story) -> None:
    story.further_orders.append(replace(story.order, order_id="b"))


def never_ended(story: Story) -> None:
    story.end_as("submitted")


def never_executed(story: Story) -> None:
    story.order = replace(story.order, status="pending", version=1, attempt=1)
    del story.events[1:]


def swap_without_order(story: Story) -> None:
    story.landings.append(LandingRow("nobody", 1, "sig-x", None, 90))


def swap_without_attempt(story: Story) -> None:
    story.landings.append(LandingRow("a", 3, "sig-a3", 6000, None))


def failed_and_swapped(story: Story) -> None:
    story.end_as("failed")
    story.attempts[1] = replace(story.attempts[1], outcome="transaction_expired")


def nobody_was_told(story: Story) -> None:
    story.claims.clear()


def told_cancelled_and_confirmed(story: Story) -> None:
    story.claims[0].cancelled = True


def told_that_the_cancellation_is_kept_and_failed(story: Story) -> None:
    story.claims[0].cancel_kept = True
    story.end_as("failed")


def told_another_key(story: Story) -> None:
    story.claims[0].key = "key-b"


def trace_changed(story: Story) -> None:
    story.order = replace(story.order, traceparent=f"00-{'0' * 32}-00f067aa0ba902b7-01")


def paid_something_else(story: Story) -> None:
    story.order = replace(story.order, amount_out=91)


OTHERS = (
    (accepted_and_not_stored, Wrong.LOST),
    (confirmed_without_landing, Wrong.LOST),
    (confirmed_by_a_failure, Wrong.LOST),
    (both_attempts_swapped, Wrong.DOUBLED),
    (two_orders_of_one_key, Wrong.DOUBLED),
    (never_ended, Wrong.STUCK),
    (never_executed, Wrong.STUCK),
    (swap_without_order, Wrong.UNEXPLAINED),
    (swap_without_attempt, Wrong.UNEXPLAINED),
    (failed_and_swapped, Wrong.UNEXPLAINED),
    (nobody_was_told, Wrong.UNEXPLAINED),
    (told_cancelled_and_confirmed, Wrong.MISTOLD),
    (told_that_the_cancellation_is_kept_and_failed, Wrong.MISTOLD),
    (told_another_key, Wrong.MISTOLD),
    (trace_changed, Wrong.MISTOLD),
    (paid_something_else, Wrong.MISTOLD),
)


@pytest.mark.parametrize("plant", ILLEGAL)
def test_an_illegal_history_is_found(plant: Callable[[Story], None]) -> None:
    """Gaps, moves that the machine does not have, attempts that do not fit."""
    story = Story()
    plant(story)
    assert Wrong.ILLEGAL in {violation.wrong for violation in story.judge()}


@pytest.mark.parametrize(("plant", "wrong"), OTHERS)
def test_whatever_else_is_wrong_is_found_and_called_by_its_name(plant: Callable[[Story], None], wrong: Wrong) -> None:
    """Orders, swaps and what the client was told."""
    story = Story()
    plant(story)
    assert wrong in {violation.wrong for violation in story.judge()}
