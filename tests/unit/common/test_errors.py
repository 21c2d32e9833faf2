"""Whether an attempt may be repeated is a property of the error, not of the place that catches it."""

import pytest

from engine_common import errors
from engine_common.errors import EngineError, NoLiquidity, Verdict, verdicts

VERDICTS = {
    "no_liquidity": False,
    "unknown_pair": False,
    "amount_too_small": False,
    "slippage_exceeded": True,
    "swap_failed": True,
    "transaction_expired": True,
    "unexpected_error": True,
    "swap_rejected": False,
    "dex_unavailable": False,
}


def test_every_verdict_says_whether_it_may_be_tried_again() -> None:
    """Codes are unique, and the list is complete."""
    found = {verdict.code: verdict.retryable for verdict in verdicts()}
    assert len(found) == len(verdicts())
    assert found == VERDICTS


@pytest.mark.parametrize("verdict", Verdict.__subclasses__())
def test_a_verdicts_message_is_the_reason_that_is_kept(verdict: type[Verdict]) -> None:
    """It is a sentence for people, and the code is for programs."""
    assert verdict("the pools are empty").reason == "the pools are empty"


def test_the_tree_of_the_module_is_drawn_as_it_is() -> None:
    """The docstring names every error, and nothing else of the module is one."""
    tree = errors.__doc__ or ""
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, EngineError)]
    assert [each.__name__ for each in classes if f" {each.__name__}" not in f" {tree}".replace("\n", " ")] == []


def test_a_reason_is_one_printable_line_whatever_a_venue_says() -> None:
    """PostgreSQL refuses a NUL, and an order that cannot be ended would be tried for ever."""
    reason = NoLiquidity("pool\x00 empty\n\u2028" + "x" * 10_000).reason
    assert reason.startswith("pool  empty  xxx")
    assert reason.isprintable()
    assert len(reason) == 500
