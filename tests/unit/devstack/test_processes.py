import socket
from collections.abc import Iterable
from pathlib import Path

import pytest

from devstack import processes
from devstack.children import Program
from devstack.faults import PortTaken
from devstack.ports import free_port
from devstack.processes import Wiring
from devstack.settings import StackSettings
from engine_common.settings import SettingsError

WIRING = Wiring(
    environ={"ENGINE_MAX_ATTEMPTS": "1", "DATABASE_URL": "from the person", "PATH": "/bin"},
    database_url="postgresql://db",
    redis_url="redis://cache",
    dex_url="http://dex",
    dex_data=Path("/data"),
    admin_token="token",
    wallet_key="key",
)


@pytest.fixture(autouse=True)
def _no_settings_of_a_persons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_PORT", "MOCKDEX_PORT", "WORKERS", "APIS", "METRICS_PORT", "DATABASE_URL", "REDIS_URL", "DEX_URL"):
        monkeypatch.delenv(name, raising=False)


def by_name(programs: Iterable[Program]) -> dict[str, Program]:
    return {program.name: program for program in programs}


def test_every_process_has_its_name_its_port_and_what_it_must_know() -> None:
    """As many as asked for; a person's own settings pass through, addresses are the stack's."""
    programs = by_name(processes.service_programs(StackSettings(apis=3, workers=2), WIRING))
    assert set(programs) == {"mockdex", "worker-1", "worker-2", "api", "api-2", "api-3"}
    assert [programs[name].env["API_PORT"] for name in ("api", "api-2", "api-3")] == ["3000", "3100", "3200"]
    assert programs["mockdex"].env["MOCKDEX_PORT"] == "4000"
    assert programs["mockdex"].env["MOCK_DEX_ADMIN_TOKEN"] == "token"
    assert programs["worker-2"].env["ENGINE_WALLET_KEY"] == "key"
    for program in programs.values():
        assert program.env["ENGINE_MAX_ATTEMPTS"] == "1"
        assert program.env["DATABASE_URL"] == "postgresql://db"
        assert program.env["REDIS_URL"] == "redis://cache"
    assert len({program.env["METRICS_PORT"] for program in programs.values()}) == 6


def test_only_those_who_need_a_secret_get_it() -> None:
    """The wallet is the workers', the token the mock DEX's."""
    programs = by_name(processes.service_programs(StackSettings(), WIRING))
    assert [name for name, program in programs.items() if "ENGINE_WALLET_KEY" in program.env] == ["worker-1"]
    assert [name for name, program in programs.items() if "MOCK_DEX_ADMIN_TOKEN" in program.env] == ["mockdex"]


def test_metrics_ports_count_up_from_the_one_that_is_set() -> None:
    """One for each process: they cannot share it."""
    port = free_port()
    programs = processes.service_programs(StackSettings(metrics_port=port, workers=2), WIRING)
    assert {int(program.env["METRICS_PORT"]) for program in programs} == set(range(port, port + 4))


def test_stopping_everything_fits_into_ten_seconds() -> None:
    """Stage after stage, though nobody ends by himself; PostgreSQL may need a second more to be forced."""
    programs = processes.service_programs(StackSettings(apis=3, workers=3), WIRING)
    stages = {program.stage: program.stop_patience_s for program in programs}
    servers = Program("postgres", [], stage=processes.SERVERS)
    assert sum(stages.values()) + servers.stop_patience_s <= 9


def test_services_are_stopped_before_what_they_need() -> None:
    """Apis, workers, mock DEX, servers."""
    stages = {
        name: program.stage for name, program in by_name(processes.service_programs(StackSettings(), WIRING)).items()
    }
    assert stages["api"] > stages["worker-1"] > stages["mockdex"] > processes.SERVERS


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"APIS": "11"}, "API_PORT, APIS and MOCKDEX_PORT give port 4000 to two processes."),
        ({"API_PORT": "65500", "APIS": "2"}, "API_PORT and APIS ask for port 65600, beyond 65535."),
        ({"API_PORT": "http"}, "API_PORT must be a whole number, not 'http'"),
        ({"WORKERS": "-1"}, "WORKERS must be greater than or equal to 0, not '-1'"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], sentence: str
) -> None:
    """Before anything is started."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        StackSettings.load()
    assert str(raised.value).startswith(sentence)


def test_every_fixed_port_is_looked_at_before_anything_starts() -> None:
    """The further apis' too."""
    port = free_port()
    settings = StackSettings(api_port=port - 100, apis=2, mockdex_port=free_port())
    processes.require_ports(settings)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=f"Port {port} .* set API_PORT"):
        processes.require_ports(settings)
