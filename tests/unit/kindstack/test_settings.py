import pytest

from engine_common.settings import SettingsError
from kindstack.settings import DeploySettings


@pytest.mark.parametrize("name", ["1st", "-engine", "engine-", "Engine", "my.engine", "my_engine"])
def test_a_release_whose_services_could_not_be_named_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Helm would take 1st, and Kubernetes refuse half of what the chart makes of it."""
    monkeypatch.setenv("RELEASE", name)
    with pytest.raises(SettingsError) as refused:
        DeploySettings.load()
    rule = "must begin with a letter, end with a letter or digit, and have only a-z, 0-9 and hyphens"
    (problem,) = refused.value.problems
    assert problem.startswith(f"RELEASE {rule}, since Services are named after it, not '{name}': correct it")


@pytest.mark.parametrize("name", ["e", "engine-2", "order-engine"])
def test_a_release_has_any_name_that_suits_services(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One letter is enough."""
    monkeypatch.setenv("RELEASE", name)
    assert DeploySettings.load().release == name


def test_a_namespace_may_begin_with_a_digit_and_is_refused_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace is a label, a Service's name is more."""
    monkeypatch.setenv("NAMESPACE", "1st")
    assert DeploySettings.load().namespace == "1st"
    monkeypatch.setenv("NAMESPACE", "1st.one")
    with pytest.raises(
        SettingsError, match=r"^NAMESPACE must begin and end with a letter or digit, .*, not '1st\.one'"
    ):
        DeploySettings.load()
