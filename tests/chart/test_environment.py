"""What `env` of a component takes: every setting of its service, and no other name that looks like one."""

import pytest

from chart.rendering import Refused, rendered_text
from chart.value_sets import DEVELOPMENT, merged
from engine_api.settings import ApiSettings
from engine_common.settings import Settings
from engine_worker.settings import WorkerSettings
from mockdex.settings import MockdexSettings

# What other values of the chart set.
_SET_OTHERWISE = {
    *(
        "ALLOW_PLAINTEXT_DATABASE",
        "API_HOST",
        "API_KEYS_FILE",
        "API_PORT",
        "DATABASE_URL",
        "DEX_FALLBACK_URL",
        "DEX_URL",
        "ENGINE_WALLET_KEY",
    ),
    *("ENV", "LOG_LEVEL", "METRICS_HOST", "METRICS_PORT", "REDIS_URL"),
}


def _given_by_env(settings: type[Settings]) -> set[str]:
    names = {name.upper() for name in settings.model_fields} - _SET_OTHERWISE
    return {name for name in names if name.removesuffix("_FILE") not in _SET_OTHERWISE}


@pytest.mark.helm
@pytest.mark.parametrize(("component", "settings"), [("api", ApiSettings), ("worker", WorkerSettings)])
def test_every_setting_of_a_service_can_be_given(component: str, settings: type[Settings]) -> None:
    """The chart knows their names, to refuse what only looks like one."""
    names = _given_by_env(settings)
    text = rendered_text(merged(DEVELOPMENT, {component: {"env": dict.fromkeys(names, "7")}}))
    assert all(f"name: {name}" in text for name in names)


@pytest.mark.helm
@pytest.mark.parametrize(
    "name", ["MOCK_DEX_LATENZY_MS", "MOCKDEX_FAIL_RATE", "MOCK_FAIL_RATES", "ENGINE_LEASE_S", "API_KEYS"]
)
def test_a_name_that_only_looks_like_a_setting_of_the_mock_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=rf"mockdex\.env\.{name}: mockdex has no such setting"):
        rendered_text(merged(DEVELOPMENT, {"mockdex": {"env": {name: "7"}}}))


@pytest.mark.helm
def test_every_setting_of_the_mock_can_be_given() -> None:
    aliases = {"MOCK_FAIL_RATE"}
    own = {"MOCKDEX_HOST", "MOCKDEX_PORT", "MOCK_DEX_DATA_DIR", "MOCK_DEX_ADMIN_TOKEN", "MOCK_DEX_ADMIN_TOKEN_FILE"}
    names = (_given_by_env(MockdexSettings) | aliases) - own
    text = rendered_text(merged(DEVELOPMENT, {"mockdex": {"env": dict.fromkeys(names, "7")}}))
    assert all(f"name: {name}\n" in text for name in names)
