"""The engine and the mock DEX have a token registry each, and mean the same tokens."""

from engine_common import tokens as engine
from mockdex import tokens as mockdex


def test_engine_and_mock_dex_know_the_same_tokens() -> None:
    """Ticker, mint and decimals: a difference would swap something else, or a thousand times as much."""
    ours = {(token.symbol, token.mint, token.decimals) for token in engine.TOKENS.values()}
    theirs = {(token.symbol, token.mint, token.decimals) for token in mockdex.TOKENS}
    assert ours == theirs
    assert len(mockdex.TOKENS) == len(engine.TOKENS)
