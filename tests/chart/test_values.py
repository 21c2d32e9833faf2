"""The schema knows every value, each value changes what is rendered, and what is wrong is refused by its name."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, HELM, Refused, Values, notes, render, rendered_release, rendered_text
from chart.value_sets import DEVELOPMENT, EVERYTHING, PRODUCTION, SETS, at, merged
from engine_api.routes.table import ROUTES

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())

# Where a value shows: each is tried over these until one renders something else.
_CONTEXTS = (EVERYTHING, PRODUCTION, DEVELOPMENT, merged(EVERYTHING, {"api": {"autoscaling": {"enabled": False}}}))
# Values that count only where others are off.
_OWN_CONTEXTS: dict[str, Values] = {
    "mockdex.enabled": merged(PRODUCTION, {"dex": {"url": ""}, "mockdex": {"enabled": True}}),
    "jaeger.enabled": DEVELOPMENT,
    "dex.existingSecret": merged(PRODUCTION, {"dex": {"url": "", "existingSecret": "node"}}),
    "dex.key": merged(PRODUCTION, {"dex": {"url": "", "existingSecret": "node"}}),
    "dex.fallback.key": merged(PRODUCTION, {"dex": {"fallback": {"existingSecret": "node"}}}),
    "networkPolicy.externalPorts.dex": merged(PRODUCTION, {"dex": {"fallback": {"existingSecret": "node"}}}),
    "otel.headers.key": merged(
        PRODUCTION, {"otel": {"endpoint": "https://otel.example.com", "headers": {"existingSecret": "otel"}}}
    ),
    "ingress.tlsTerminatedElsewhere": merged(PRODUCTION, {"ingress": {"tls": []}}),
}
# Without its counterpart such a change is refused; with it, the present values would be.
_TOGETHER: dict[str, Values] = {
    "mockdex.enabled": {"dex": {"url": "https://dex.example.com"}},
    "postgres.enabled": {"database": {"existingSecret": "database"}},
    "valkey.enabled": {"redis": {"existingSecret": "redis"}},
}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every value that the schema names, by its dotted path, with its schema."""
    schema = resolved(schema)
    if "properties" not in schema or "examples" in schema:
        yield path, schema
        return
    for name, inner in schema["properties"].items():
        yield from leaves(inner, f"{path}.{name}" if path else name)


LEAVES = {path: schema for path, schema in leaves(SCHEMA) if path != "global"}


def default_of(path: str, values: Any = DEFAULTS) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def others(schema: dict[str, Any], present: Any) -> Iterator[Any]:
    """Yield values that the schema allows and that are not the present one."""
    if schema.get("type") == "boolean":
        yield not present
    yield from (value for value in [*schema.get("enum", []), *schema.get("examples", [])] if value != present)


def shows(path: str) -> bool:
    """Tell whether some other value renders something else, somewhere."""
    for context in (_OWN_CONTEXTS[path],) if path in _OWN_CONTEXTS else _CONTEXTS:
        present = default_of(path, merged(DEFAULTS, context))
        for value in others(LEAVES[path], present):
            values = merged(merged(context, _TOGETHER.get(path, {})), at(path, value))
            try:
                changed = rendered_text(values)
            except Refused:
                continue
            if changed != rendered_or_refused(context):
                return True
    return False


def rendered_or_refused(values: Values) -> str:
    try:
        return rendered_text(values)
    except Refused:
        return ""


@pytest.mark.helm
@pytest.mark.parametrize("part", sorted(SCHEMA["properties"].keys() - {"global"}))
def test_every_value_of_the_schema_changes_what_is_rendered(part: str) -> None:
    """A value that does nothing is a promise that is not kept."""
    paths = [path for path in LEAVES if path.split(".")[0] == part]
    assert paths
    assert [path for path in paths if not shows(path)] == []


def test_schema_and_defaults_name_the_same_values() -> None:
    optional = {"cpu", "memory", "ephemeral-storage"}  # of requests and limits, as people like
    named = {path for path in LEAVES if path.rsplit(".", 1)[-1] not in optional}

    def known(value: Any, path: str = "") -> Iterator[str]:
        if isinstance(value, dict) and path not in named and value:
            for key, inner in value.items():
                yield from known(inner, f"{path}.{key}" if path else key)
        elif path.rsplit(".", 1)[-1] not in optional:
            yield path

    assert set(known(DEFAULTS)) == named


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            yield schema
        for inner in schema.values():
            yield from objects(inner)


def test_no_object_of_the_schema_takes_what_it_does_not_know() -> None:
    found = list(objects({key: value for key, value in SCHEMA.items() if key != "examples"}))
    assert len(found) > 20
    assert [schema for schema in found if schema.get("additionalProperties") is not False] == []


@pytest.mark.helm
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("api.replicas", "many"),
        ("api.replica", 3),
        ("environment", "staging"),
        ("mockdex.replicas", 2),
        ("jaeger.maxTraces", 0),
        ("jaeger.basePath", "jaeger"),
        ("image.pullPolicy", "Sometimes"),
        ("worker.resources.request", {}),
        ("worker.env.lower_case", "x"),
        ("database.tls.mode", "prefer"),
        ("migrations.ttlSecondsAfterFinished", 10),
        ("networkPolicy.externalPorts.redis", [70000]),
        ("wallet.key", ""),
        ("dex.url", "http://dex:port"),
        ("otel.endpoint", "http://[collector"),
        # A null takes the default away, so that what is missing is named.
        ("networkPolicy.externalPorts.redis", None),
        ("database.tls", None),
        ("worker.autoscaling", None),
        ("postgres.persistence", None),
        ("wallet.key", None),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(path: str, value: Any) -> None:
    with pytest.raises(Refused) as refused:
        render(at(path, value))
    *parents, name = path.split(".")
    assert f"'/{'/'.join(parents)}" in str(refused.value)
    assert name in str(refused.value)


@pytest.mark.helm
@pytest.mark.parametrize("part", ["ingress", "otel", "jaeger", "worker", "networkPolicy", "metrics", "test"])
def test_a_part_set_to_nothing_is_refused_by_its_name(part: str) -> None:
    """Templates would fail on it in a language that nobody but their author knows."""
    with pytest.raises(Refused, match=f"missing property '{part}'"):
        render({part: None})


def test_every_object_that_templates_look_into_is_required() -> None:
    """Only what may be empty may be set to nothing: numbers of pods, and collections."""

    def optional(schema: dict[str, Any], path: str = "") -> Iterator[str]:
        schema = resolved(schema)
        for name, inner in schema.get("properties", {}).items() if "examples" not in schema else ():
            where = f"{path}.{name}".removeprefix(".")
            if name not in schema.get("required", []):
                yield where
            yield from optional(inner, where)

    empty = ({}, [], None)
    found = {path for path in optional(SCHEMA) if ".resources." not in path and not path.endswith(".replicas")}
    assert {path for path in found if default_of(path) not in empty} == set()


@pytest.mark.helm
def test_what_an_earlier_file_of_values_filled_can_be_emptied_by_nothing() -> None:
    """`env: {}` would be laid over it and change nothing; that is how Helm merges."""
    nothing = {"env": None, "nodeSelector": None, "tolerations": None, "affinity": None, "podAnnotations": None}
    emptied = {"api": nothing, "worker": nothing, "mockdex": nothing, "image": {"pullSecrets": None}}
    assert render(merged(emptied, {"ingress": {"annotations": None, "tls": None}})) == render(DEVELOPMENT)


@pytest.mark.helm
@pytest.mark.parametrize("name", ["1st", "my.release", "7"])
def test_a_release_name_that_no_service_may_have_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=f'release name "{name}"'):
        rendered_release(name)


@pytest.mark.helm
def test_jaeger_cannot_be_put_where_the_api_answers() -> None:
    """The ingress would hand it the api's requests."""
    for first in {route.path.split("/")[1] for route in ROUTES}:
        for path in (f"/{first}", f"/{first}/jaeger"):
            if re.fullmatch(SCHEMA["properties"]["jaeger"]["properties"]["basePath"]["pattern"], path):
                with pytest.raises(Refused, match=r"jaeger\.basePath"):
                    render(at("jaeger.basePath", path))
    with pytest.raises(Refused, match="jaeger/basePath"):
        render(at("jaeger.basePath", "/"))
    assert render(at("jaeger.basePath", "/apis"))


@pytest.mark.helm
@pytest.mark.parametrize(
    ("values", "said", "unsaid"),
    [
        (DEVELOPMENT, ("scale deployment order-engine-worker", "test.enabled"), "helm test order-engine"),
        (at("worker.replicas", 3), ("raise worker.replicas (3 now)",), "kubectl --namespace trading scale"),
        (EVERYTHING, ("API=http://orders.example.com",), "More workers"),
        (PRODUCTION, ("real swap of 0.1 SOL", "test.enabled", "API=https://"), "helm test order-engine"),
        (merged(PRODUCTION, at("test.enabled", True)), ("real swap of 0.1 SOL", "helm test order-engine"), "test.en"),
    ],
)
def test_the_notes_say_what_is_so(values: Values, said: tuple[str, ...], unsaid: str) -> None:
    """And recommend nothing that the next upgrade refuses, or that costs money unasked."""
    text = notes(values)
    assert [sentence for sentence in said if sentence not in text] == []
    assert unsaid not in text


@pytest.mark.helm
@pytest.mark.parametrize(
    ("base", "change", "named"),
    [
        (DEVELOPMENT, {"postgres": {"enabled": False}}, "database.existingSecret"),
        (DEVELOPMENT, {"database": {"existingSecret": "x"}}, "postgres.enabled=false"),
        (DEVELOPMENT, {"valkey": {"enabled": False}}, "redis.existingSecret"),
        (DEVELOPMENT, {"redis": {"existingSecret": "x"}}, "valkey.enabled=false"),
        (DEVELOPMENT, {"mockdex": {"enabled": False}}, "dex.url"),
        (DEVELOPMENT, {"dex": {"url": "https://dex.example.com"}}, "mockdex.enabled=false"),
        (DEVELOPMENT, {"otel": {"endpoint": "http://collector:4318"}}, "jaeger.enabled=false"),
        (DEVELOPMENT, {"api": {"env": {"DATABASE_URL": "x"}}}, "api.env.DATABASE_URL"),
        (
            DEVELOPMENT,
            {"api": {"env": {"OTEL_BSP_SCHEDULE_DELAY": "1"}}},
            "api.env.OTEL_BSP_SCHEDULE_DELAY: the chart sets this variable while jaeger.enabled is true",
        ),
        (
            DEVELOPMENT,
            {"worker": {"env": {"ENGINE_MAX_IN_FLIGTH": 5}}},
            "worker.env.ENGINE_MAX_IN_FLIGTH: worker has no",
        ),
        (DEVELOPMENT, {"api": {"env": {"ENGINE_LEASE_S": 5}}}, "api.env.ENGINE_LEASE_S: api has no such setting"),
        (DEVELOPMENT, {"mockdex": {"env": {"MOCK_DEX_ADMIN_TOKEN": "x"}}}, "mockdex.env.MOCK_DEX_ADMIN_TOKEN"),
        (DEVELOPMENT, {"worker": {"env": {"ENGINE_DRAIN_S": 60}}}, "worker.env.ENGINE_DRAIN_S"),
        (EVERYTHING, {"api": {"autoscaling": {"minReplicas": 9}}}, "api.autoscaling.minReplicas"),
        (EVERYTHING, {"worker": {"resources": {"requests": {"cpu": None}}}}, "worker.resources.requests.cpu"),
        (PRODUCTION, {"database": {"tls": {"mode": ""}}}, "database.tls.mode"),
        (PRODUCTION, {"postgres": {"enabled": True}, "database": {"existingSecret": ""}}, "postgres.enabled"),
        (PRODUCTION, {"valkey": {"enabled": True}, "redis": {"existingSecret": ""}}, "valkey.enabled"),
        (PRODUCTION, {"apiKeys": {"existingSecret": ""}}, "apiKeys.existingSecret"),
        (
            PRODUCTION,
            {"mockdex": {"enabled": True, "admin": {"enabled": True}}, "dex": {"url": ""}},
            "mockdex.admin.enabled",
        ),
        (PRODUCTION, {"ingress": {"tls": []}}, "ingress.tlsTerminatedElsewhere=true"),
        (PRODUCTION, {"jaeger": {"enabled": True}, "otel": {"endpoint": ""}}, "jaeger.expose"),
    ],
)
def test_values_that_contradict_one_another_are_refused_by_name(base: Values, change: Values, named: str) -> None:
    """And the refusal is what the change brought about: without it the values render."""
    render(base)
    with pytest.raises(Refused) as refused:
        render(merged(base, change))
    assert "checks.yaml" in str(refused.value)
    assert named in str(refused.value)


@pytest.mark.helm
def test_numbers_reach_the_processes_as_people_write_them() -> None:
    text = rendered_text({"worker": {"env": {"A_COUNT": 2_000_000, "A_SHARE": 0.25, "A_SWITCH": True}}})
    for expected in ('value: "2000000"', 'value: "0.25"', 'value: "true"'):
        assert expected in text


@pytest.mark.helm
@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_helms_own_lint_has_nothing_to_say(values: Values) -> None:
    assert HELM is not None
    done = subprocess.run(
        [HELM, "lint", "--strict", CHART, "--values", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
