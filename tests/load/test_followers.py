"""A follower accepts each event once, in order, to the end, and nothing else."""

from typing import Any

from load.followers import Following, WalletFollowing


def event(
    seq: int, status: str = "routing", order_id: str = "a", at: str = "2026-01-01T00:00:00.000Z"
) -> dict[str, Any]:
    return {"orderId": order_id, "seq": seq, "status": status, "timestamp": at}


def followed(*seqs: int) -> Following:
    following = Following("a")
    for seq in seqs:
        following.take(event(seq))
    return following


def test_every_event_once_and_in_order_to_the_terminal_one_is_right() -> None:
    """However many connections it took."""
    following = followed(1, 2)
    following.closed(None)
    following.closed(1012)
    following.take(event(3, "confirmed"))
    following.closed(1000)
    following.compare([event(1), event(2), event(3, "confirmed")])
    assert following.ended
    assert following.faults == []


def test_a_repeated_a_missing_and_a_late_event_are_each_a_fault() -> None:
    """As is one of another order."""
    assert followed(1, 1).faults
    assert followed(1, 3).faults
    assert followed(2).faults
    stranger = Following("a")
    stranger.take(event(1, order_id="b"))
    assert stranger.faults


def test_nothing_may_come_after_the_end_and_no_good_end_before_it() -> None:
    """1000 says that the terminal event was sent."""
    after = Following("a")
    after.take(event(1, "confirmed"))
    after.take(event(2))
    assert after.faults
    early = followed(1)
    early.closed(1000)
    assert early.faults


def test_an_unknown_order_and_an_internal_error_are_faults() -> None:
    """The order was accepted before it was followed."""
    for code in (4004, 1011):
        following = followed(1)
        following.closed(code)
        assert following.faults


def test_what_was_seen_must_be_what_rest_shows() -> None:
    """To the last field."""
    following = followed(1)
    following.compare([event(1) | {"attempt": 2}])
    assert following.faults


def wallet(*events: tuple[int, str]) -> WalletFollowing:
    following = WalletFollowing()
    following.connected()
    for seq, order_id in events:
        following.take(event(seq, order_id=order_id))
    return following


def test_a_wallets_events_follow_one_another_for_each_order() -> None:
    """A socket may begin an order anywhere, and a new socket may repeat the latest event or skip ahead."""
    following = wallet((3, "a"), (1, "b"), (4, "a"), (2, "b"))
    following.connected()
    following.take(event(4))
    following.take(event(5, "confirmed"))
    assert following.faults == []
    assert following.unfinished(["a", "b"]) == ["b"]


def test_a_wallets_gap_repetition_and_return_are_each_a_fault() -> None:
    """On one socket, and from one socket to the next."""
    assert wallet((1, "a"), (3, "a")).faults
    assert wallet((1, "a"), (1, "a")).faults
    following = wallet((1, "a"), (2, "a"))
    following.connected()
    following.take(event(1))
    assert following.faults
