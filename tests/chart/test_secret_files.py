"""With `secretsAsFiles`, no process gets a secret by its environment: files are mounted, and variables name them."""

import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chart.rendering import (
    CHART,
    Manifest,
    Refused,
    Values,
    component,
    containers,
    environment,
    find,
    of_kind,
    pod_templates,
    render,
)
from chart.value_sets import DEVELOPMENT, EVERYTHING, PRODUCTION, at, merged

FILES: Values = {"secretsAsFiles": True}
# Production with each Secret that the chart can take.
ALL_SECRETS: Values = merged(
    PRODUCTION,
    {
        "dex": {"url": "", "existingSecret": "dex", "fallback": {"existingSecret": "archive", "key": "url"}},
        "otel": {"endpoint": "https://otel.example.com", "headers": {"existingSecret": "otel"}},
        "test": {"enabled": True},
    },
)
SETS = {"development": DEVELOPMENT, "everything": EVERYTHING, "production": PRODUCTION, "all secrets": ALL_SECRETS}
of_every_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())

_EXPECTED = {
    "migrate": {"DATABASE_URL": ("orders-app", "uri")},
    "api": {
        "DATABASE_URL": ("orders-app", "uri"),
        "REDIS_URL": ("order-engine-redis", "uri"),
        "OTEL_EXPORTER_OTLP_HEADERS": ("otel", "headers"),
    },
    "worker": {
        "DATABASE_URL": ("orders-app", "uri"),
        "REDIS_URL": ("order-engine-redis", "uri"),
        "ENGINE_WALLET_KEY": ("order-engine-wallet", "wallet-key"),
        "DEX_URL": ("dex", "uri"),
        "DEX_FALLBACK_URL": ("archive", "url"),
        "OTEL_EXPORTER_OTLP_HEADERS": ("otel", "headers"),
    },
    "test": {"API_KEY": ("order-engine-test-key", "key")},
}


def from_secrets(container: Manifest) -> dict[str, tuple[str, str]]:
    """Return the Secret and key of each variable that comes from one."""
    references = {name: value["secretKeyRef"] for name, value in environment(container).items() if is_secret(value)}
    return {name: (reference["name"], reference["key"]) for name, reference in references.items()}


def is_secret(value: Any) -> bool:
    return isinstance(value, dict) and "secretKeyRef" in value


def mounted(pod: Manifest, container: Manifest, path: str) -> tuple[str, str]:
    """Return the Secret and key of the file that this container finds at the path."""
    directory, _, file = path.rpartition("/")
    (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == directory]
    assert mount["readOnly"] is True
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == mount["name"]]
    assert volume["secret"]["defaultMode"] == 0o440
    (key,) = [item["key"] for item in volume["secret"]["items"] if item["path"] == file]
    return volume["secret"]["secretName"], key


def of_files(pod: Manifest, container: Manifest) -> dict[str, tuple[str, str]]:
    """Return the Secret and key of each variable that a mounted file stands for."""
    paths = {name: value for name, value in environment(container).items() if name.endswith("_FILE")}
    paths.pop("API_KEYS_FILE", None)  # a file of keys, mounted in either case
    return {name.removesuffix("_FILE"): mounted(pod, container, path) for name, path in paths.items()}


def pod_of(manifests: list[Manifest], name: str) -> Manifest:
    (pod,) = [each for each in pod_templates(manifests) if component(each) == name]
    return pod


@pytest.mark.helm
@of_every_set
def test_no_container_has_a_secret_in_its_environment(values: Values) -> None:
    """Whoever may read pods, or /proc of their processes, must not read the wallet's key there."""
    variables = [
        (component(pod), container["name"], name)
        for pod in pod_templates(render(merged(values, FILES)))
        for container in containers(pod)
        for name in from_secrets(container)
    ]
    assert variables == []


@pytest.mark.helm
@pytest.mark.parametrize("name", _EXPECTED)
def test_each_secret_is_a_file_of_the_pods_that_need_it(name: str) -> None:
    """By the same Secret and key as its variable without the setting, and no further one."""
    pod = pod_of(render(merged(ALL_SECRETS, FILES)), name)
    (container,) = pod["spec"]["containers"]
    assert of_files(pod, container) == _EXPECTED[name]
    (without,) = pod_of(render(ALL_SECRETS), name)["spec"]["containers"]
    assert from_secrets(without) == _EXPECTED[name]


@pytest.mark.helm
def test_the_admin_token_of_the_mock_is_a_file() -> None:
    pod = pod_of(render(merged(EVERYTHING, FILES)), "mockdex")
    (container,) = pod["spec"]["containers"]
    assert of_files(pod, container) == {"MOCK_DEX_ADMIN_TOKEN": ("order-engine-secrets", "mockdex-admin-token")}


@pytest.mark.helm
@pytest.mark.parametrize("name", ["api", "worker"])
def test_what_waits_for_migrations_gets_the_database_alone(name: str) -> None:
    """Neither the wallet's key nor Redis's password concerns it."""
    pod = pod_of(render(merged(ALL_SECRETS, FILES)), name)
    (waiter,) = pod["spec"]["initContainers"]
    assert of_files(pod, waiter) == _EXPECTED["migrate"]
    assert {mount["name"] for mount in waiter["volumeMounts"]} == {"tmp", "database-url", "database-ca"}


@pytest.mark.helm
@of_every_set
def test_every_mount_has_its_volume_and_every_volume_a_mount(values: Values) -> None:
    """Kubernetes refuses the first; the second would show a Secret that is not needed."""
    for pod in pod_templates(render(merged(values, FILES))):
        mounts = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", [])}
        names = [volume["name"] for volume in pod["spec"].get("volumes", [])]
        assert len(names) == len(set(names))
        claims = {"data"} if component(pod) in ("postgres", "valkey") else set[str]()
        assert mounts - claims == set(names) - claims


@pytest.mark.helm
@of_every_set
def test_files_are_readable_by_the_pods_user_alone(values: Values) -> None:
    """The kubelet gives the files of Secrets to root and to fsGroup."""
    for pod in pod_templates(render(merged(values, FILES))):
        secrets = [volume["secret"] for volume in pod["spec"].get("volumes", []) if "secret" in volume]
        own = [secret for secret in secrets if "defaultMode" in secret]
        assert [secret["defaultMode"] for secret in own] == [0o440] * len(own)
        assert pod["spec"]["securityContext"]["fsGroup"]


@pytest.mark.helm
@pytest.mark.parametrize(
    ("name", "stores"), [("api", {"DATABASE", "REDIS"}), ("worker", {"DATABASE", "REDIS"}), ("migrate", {"DATABASE"})]
)
def test_urls_of_the_charts_databases_are_written_in_the_pods_memory(name: str, stores: set[str]) -> None:
    """Their Secret has passwords alone; the first init container makes URLs of them."""
    pod = pod_of(render(merged(DEVELOPMENT, FILES)), name)
    writer = pod["spec"]["initContainers"][0]
    assert writer["name"] == "write-urls"
    assert of_files(pod, writer) == {
        f"{store}_PASSWORD": (
            "order-engine-secrets",
            {"DATABASE": "postgres-password", "REDIS": "valkey-password"}[store],
        )
        for store in stores
    }
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "urls"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}
    (container,) = pod["spec"]["containers"]
    directory = environment(writer)["URLS_DIRECTORY"]
    assert {f"{store}_URL_FILE": f"{directory}/{store}_URL" for store in stores}.items() <= environment(
        container
    ).items()
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "urls"]
    assert mount == {"name": "urls", "mountPath": directory, "readOnly": True}


@pytest.mark.helm
def test_the_charts_postgresql_reads_its_password_from_a_file() -> None:
    pod = find(render(merged(DEVELOPMENT, FILES)), "StatefulSet", "postgres")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    path = environment(container)["POSTGRES_PASSWORD_FILE"]
    assert mounted(pod, container, path) == ("order-engine-secrets", "postgres-password")


@pytest.mark.helm
def test_the_migrate_job_of_another_mode_has_another_name() -> None:
    """A Job cannot be changed."""
    names = {
        job["metadata"]["name"] for mode in (True, False) for job in of_kind(render(at("secretsAsFiles", mode)), "Job")
    }
    assert len(names) == 2


def written(tmp_path: Path, password: str) -> dict[str, str]:
    """Run the program of the init container twice, as after a restart of its pod; return what it wrote."""
    (tmp_path / "password").write_text(password)
    (tmp_path / "urls").mkdir(exist_ok=True)
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", (CHART / "files/write_urls.py").read_text()],
            env={
                "URLS_DIRECTORY": str(tmp_path / "urls"),
                "DATABASE_URL_TEMPLATE": "postgresql://engine:PASSWORD@order-engine-postgres:5432/engine",
                "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
            },
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    return {file.name: file.read_text() for file in (tmp_path / "urls").iterdir()}


@pytest.mark.parametrize(
    ("password", "in_url"), [("0123abcd", "0123abcd"), ("0123abcd\n", "0123abcd"), ("p@ss/w%rd", "p%40ss%2Fw%25rd")]
)
def test_urls_contain_the_password_as_a_url_writes_it(tmp_path: Path, password: str, in_url: str) -> None:
    assert written(tmp_path, password) == {
        "DATABASE_URL": f"postgresql://engine:{in_url}@order-engine-postgres:5432/engine"
    }


def test_urls_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    written(tmp_path, "0123abcd")
    found = (tmp_path / "urls/DATABASE_URL").stat()
    assert stat.S_IMODE(found.st_mode) == 0o400


def test_an_empty_password_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    """An empty password would otherwise be refused by the database, which does not say why."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        written(tmp_path, "\n")
    assert f"{tmp_path / 'password'} is empty" in failed.value.stderr


@pytest.mark.helm
@pytest.mark.parametrize(
    ("base", "change", "named"),
    [
        (PRODUCTION, at("worker.env", {"ENGINE_WALLET_KEY_FILE": "/x"}), "worker.env.ENGINE_WALLET_KEY_FILE"),
        (DEVELOPMENT, at("api.env", {"DATABASE_URL_FILE": "/x"}), "api.env.DATABASE_URL_FILE"),
        (DEVELOPMENT, at("api.env", {"REDIS_URL_FILE": "/x"}), "api.env.REDIS_URL_FILE"),
        (DEVELOPMENT, at("mockdex.env", {"MOCK_DEX_ADMIN_TOKEN_FILE": "/x"}), "mockdex.env.MOCK_DEX_ADMIN_TOKEN_FILE"),
        (ALL_SECRETS, at("api.env", {"OTEL_EXPORTER_OTLP_HEADERS_FILE": "/x"}), "OTEL_EXPORTER_OTLP_HEADERS_FILE"),
        (DEVELOPMENT, at("api.extraVolumes", [{"name": "database-url", "emptyDir": {}}]), "api.extraVolumes"),
        (DEVELOPMENT, at("worker.extraVolumes", [{"name": "urls", "emptyDir": {}}]), "worker.extraVolumes"),
        (DEVELOPMENT, at("secretsAsFiles", "yes"), "/secretsAsFiles"),
    ],
)
def test_a_secret_is_given_once(base: Values, change: Values, named: str) -> None:
    """A service refuses to start when a variable and its file are both set."""
    render(base)
    with pytest.raises(Refused) as refused:
        render(merged(base, change))
    assert named in str(refused.value)
