"""Cursors of pages."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_api.paging import CURSOR_PATTERN, decode_cursor, encode_cursor


@given(st.uuids())
def test_a_cursor_leads_back_to_its_order(order_id: UUID) -> None:
    """And looks as the contract says."""
    cursor = encode_cursor(order_id)
    assert decode_cursor(cursor) == order_id
    assert re.fullmatch(CURSOR_PATTERN, cursor)


@given(st.from_regex(CURSOR_PATTERN, fullmatch=True))
def test_what_looks_like_a_cursor_is_one(cursor: str) -> None:
    """The pattern promises nothing that is refused."""
    assert encode_cursor(decode_cursor(cursor)) == cursor


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    """With a reason to show."""
    if not re.fullmatch(CURSOR_PATTERN, text):
        with pytest.raises(ValueError, match="must be a cursor"):
            decode_cursor(text)
