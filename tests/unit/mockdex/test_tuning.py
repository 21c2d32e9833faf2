import os

import pytest
from pydantic import ValidationError

from engine_common.settings import SettingsError
from mockdex.faults import Faults
from mockdex.settings import MockdexSettings
from mockdex.tuning import KNOBS, NAMES, Adjustment, Tuning


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """Leave only what a test sets."""
    for name in list(os.environ):
        if name.startswith(("MOCK", "ENV", "METRICS", "LOG_")):
            monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_specification():
    values = MockdexSettings.load().tuning().values()
    assert {name: value for name, value in values.items() if value} == {
        "quote_delay_ms": 200,
        "execution_delay_ms": 2500,
        "failure_rate": 0.05,
        "rpc_max_body_bytes": 51_200,
    }
    settings = MockdexSettings.load()
    assert (settings.mock_dex_block_ms, settings.mock_dex_valid_blocks) == (400, 151)
    assert settings.mock_dex_seed is settings.mock_dex_data_dir is settings.mock_dex_admin_token is None
    assert (settings.mockdex_host, settings.mockdex_port) == ("127.0.0.1", 4000)


@pytest.mark.parametrize("name", NAMES)
def test_everything_can_be_set_by_environment(monkeypatch, name):
    knob, venue = NAMES[name]
    monkeypatch.setenv(f"MOCK_DEX_{name.upper()}", "true" if knob.kind is bool else "1")
    tuning = MockdexSettings.load().tuning()
    assert str(int(tuning.value(knob.name, venue))) == "1"
    assert [other for other, value in tuning.values().items() if value in (1, "1")] == [name]


def test_the_failure_rate_has_a_second_name(monkeypatch):
    monkeypatch.setenv("MOCK_FAIL_RATE", "0.25")
    assert MockdexSettings.load().tuning().value("failure_rate", "raydium") == 0.25
    monkeypatch.setenv("MOCK_DEX_FAILURE_RATE", "0.5")
    assert MockdexSettings.load().tuning().value("failure_rate", "raydium") == 0.5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MOCK_DEX_FAILURE_RATE", "1.5"),
        ("MOCK_DEX_DROP_RATE_METEORA", "-0.1"),
        ("MOCK_DEX_QUOTE_DELAY_MS", "soon"),
        ("MOCK_DEX_BLOCK_MS", "0"),
        ("MOCK_DEX_SEED", "-1"),
        ("MOCKDEX_PORT", "70000"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        MockdexSettings.load()


def test_a_venue_has_the_general_value_unless_it_has_its_own():
    tuning = Tuning({"drop_rate": 0.5, "drop_rate_meteora": 0.0})
    assert [tuning.value("drop_rate", venue) for venue in ("", "raydium", "meteora")] == [0.5, 0.5, 0.0]
    tuning.adjust({"drop_rate": 0.25, "drop_rate_meteora": None})
    assert [tuning.value("drop_rate", venue) for venue in ("", "raydium", "meteora")] == [0.25] * 3


@pytest.mark.parametrize(
    "body",
    [
        '{"drop_rate": 1.01}',
        '{"drop_rate": true}',
        '{"drop_rate": "0.5"}',
        '{"drop_rate": null}',
        '{"quote_delay_ms": 0.5}',
        '{"quote_delay_ms": -1}',
        '{"force_fail": 1}',
        '{"seed": 1}',
        '{"stale_status_rate_raydium": 1}',
    ],
)
def test_a_bad_adjustment_is_refused(body):
    with pytest.raises(ValidationError):
        Adjustment.model_validate_json(body)


def test_a_rate_of_zero_draws_nothing():
    faults = Faults(1, Tuning({}))
    assert not any(faults.strikes(knob.name) for knob in KNOBS if knob.name.endswith("_rate") and knob.default == 0)
    assert faults.drawn == {}


def test_draws_depend_on_seed_kind_venue_and_number_only():
    """Each kind at each venue has a sequence of its own, which others do not disturb."""
    alone = Faults(1, Tuning({}))
    sequence = [alone.draw("drop_rate", "raydium") for _ in range(5)]
    mixed = Faults(1, Tuning({}))
    again = []
    for _ in range(5):
        mixed.draw("drop_rate", "meteora")
        again.append(mixed.draw("drop_rate", "raydium"))
        mixed.draw("late_landing", "raydium")
    assert again == sequence
    assert len({*sequence, *(Faults(2, Tuning({})).draw("drop_rate", "raydium") for _ in range(1))}) == 6


def test_a_restart_goes_on_with_the_next_number():
    first = Faults(1, Tuning({}))
    sequence = [first.draw("x") for _ in range(4)]
    before = Faults(1, Tuning({}))
    before.draw("x")
    before.draw("x")
    assert [Faults(1, Tuning({}), before.drawn).draw("x")] == sequence[2:3]


def test_latency_has_a_jitter_of_a_fifth():
    faults = Faults(1, Tuning({"quote_delay_ms": 1_000}))
    drawn = [faults.delay_ms("quote_delay_ms", "raydium") for _ in range(500)]
    assert 800 <= min(drawn) < 820
    assert 1_180 < max(drawn) <= 1_200


def test_rates_are_met_on_average():
    faults = Faults(1, Tuning({"drop_rate": 0.25}))
    assert 2_300 < sum(faults.strikes("drop_rate", "raydium") for _ in range(10_000)) < 2_700
