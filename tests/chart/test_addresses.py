"""Which addresses the pods listen on, and where the worker finds venues and chain."""

import pytest

from chart.rendering import Manifest, Refused, Values, environment, find, of_kind, render
from chart.test_network import outside
from chart.value_sets import DEVELOPMENT, PRODUCTION, at, merged

pytestmark = pytest.mark.helm

HOSTS = {"api": "API_HOST", "mockdex": "MOCKDEX_HOST"}
SECRET: Values = {"existingSecret": "node", "key": "url"}


def variables(manifests: list[Manifest], name: str) -> dict[str, object]:
    (container,) = find(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return environment(container)


def test_services_listen_on_every_ipv4_address_at_first() -> None:
    manifests = render(DEVELOPMENT)
    for name, host in HOSTS.items():
        assert variables(manifests, name)[host] == "0.0.0.0"  # noqa: S104 - inside the pod
    assert not any("METRICS_HOST" in variables(manifests, name) for name in ("api", "worker", "mockdex"))


@pytest.mark.parametrize("address", ["::", "0.0.0.0"])  # noqa: S104 - inside the pod
def test_the_bind_address_is_that_of_every_listener(address: str) -> None:
    """The kubelet and Prometheus call the metrics' port by the pod's address: on an IPv6-only cluster an IPv6 one."""
    manifests = render(at("bindAddress", address))
    for name in ("api", "worker", "mockdex"):
        assert variables(manifests, name)["METRICS_HOST"] == address
    for name, host in HOSTS.items():
        assert variables(manifests, name)[host] == address


def test_jaeger_listens_on_the_bind_address() -> None:
    """With brackets, as addresses with ports are written."""
    (config,) = [
        one for one in of_kind(render(at("bindAddress", "::")), "ConfigMap") if "jaeger" in one["metadata"]["name"]
    ]
    (text,) = config["data"].values()
    assert "endpoint: '[::]:4318'" in text
    assert "0.0.0.0" not in text  # noqa: S104 - a text


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "[::]", "localhost", "10.0.0.5", None])
def test_an_address_that_no_probe_reaches_is_refused(address: str | None) -> None:
    """Each pod has its own address, which values cannot know."""
    with pytest.raises(Refused, match="bindAddress"):
        render(at("bindAddress", address))


@pytest.mark.parametrize("variable", ["METRICS_HOST", "API_HOST"])
def test_addresses_are_given_by_their_value_alone(variable: str) -> None:
    with pytest.raises(Refused, match=rf"api\.env\.{variable}: the chart sets this variable"):
        render(at("api.env", {variable: "::"}))


def test_the_fallback_node_is_a_value() -> None:
    manifests = render(merged(PRODUCTION, at("dex.fallback.url", "https://archive.example.com:8899")))
    assert variables(manifests, "worker")["DEX_FALLBACK_URL"] == "https://archive.example.com:8899"
    assert "DEX_FALLBACK_URL" not in variables(manifests, "api")


@pytest.mark.parametrize(("part", "variable"), [("dex", "DEX_URL"), ("dex.fallback", "DEX_FALLBACK_URL")])
def test_a_node_whose_url_has_a_key_comes_from_a_secret(part: str, variable: str) -> None:
    """Providers of nodes put the key into the URL, and values are not for keys."""
    values = merged(merged(PRODUCTION, at(f"{part}.url", "")), at(part, SECRET))
    assert variables(render(values), "worker")[variable] == {"secretKeyRef": {"name": "node", "key": "url"}}


def test_without_a_fallback_node_there_is_no_variable() -> None:
    assert "DEX_FALLBACK_URL" not in variables(render(PRODUCTION), "worker")


def test_ports_of_both_nodes_are_open_to_the_worker_alone() -> None:
    values = merged(PRODUCTION, at("dex.fallback.url", "https://archive.example.com:8899"))
    assert outside(render(values), "worker") == {5432, 6380, 4318, 443, 8899}
    assert outside(render(values), "api") == {5432, 6380, 4318}
    assert outside(render(merged(values, at("dex.fallback.url", "https://archive.example.com"))), "worker") == {
        *(5432, 6380, 4318, 443)
    }


@pytest.mark.parametrize("part", ["dex", "dex.fallback"])
def test_ports_of_nodes_in_secrets_are_open(part: str) -> None:
    """The chart cannot read them from the Secret."""
    values = merged(merged(PRODUCTION, {"dex": {"url": "http://dex.internal"}}), at(f"{part}.url", ""))
    values = merged(merged(values, at(part, SECRET)), at("networkPolicy.externalPorts.dex", [8443, 9443]))
    expected = {5432, 6380, 4318, 8443, 9443} | ({80} if part == "dex.fallback" else set())
    assert outside(render(values), "worker") == expected
    assert outside(render(values), "api") == {5432, 6380, 4318}


@pytest.mark.parametrize(
    ("base", "change", "named"),
    [
        (PRODUCTION, at("dex.existingSecret", "node"), "dex.existingSecret and dex.url are both set"),
        (
            PRODUCTION,
            at("dex.fallback", {"url": "https://a.example.com", "existingSecret": "node"}),
            "dex.fallback.existingSecret and dex.fallback.url are both set",
        ),
        (DEVELOPMENT, at("dex.existingSecret", "node"), "mockdex.enabled=false"),
        (DEVELOPMENT, at("dex.fallback.url", "https://a.example.com"), "mockdex.enabled=false"),
        (DEVELOPMENT, at("dex.fallback.existingSecret", "node"), "mockdex.enabled=false"),
        (PRODUCTION, at("dex.url", ""), "dex.existingSecret"),
        (PRODUCTION, at("dex.fallback.url", "ftp://a.example.com"), "/dex/fallback/url"),
        (PRODUCTION, at("worker.env", {"DEX_FALLBACK_URL": "https://a"}), "worker.env.DEX_FALLBACK_URL"),
        (PRODUCTION, at("worker.env", {"DEX_FALBACK_URL": "https://a"}), "worker.env.DEX_FALBACK_URL: worker has no"),
        (DEVELOPMENT, at("api.env", {"ACCESS_LOGS": True}), "api.env.ACCESS_LOGS: api has no such setting"),
        (DEVELOPMENT, at("worker.env", {"ACCESS_LOG": True}), "worker.env.ACCESS_LOG: worker has no such setting"),
    ],
)
def test_nodes_and_names_that_contradict_one_another_are_refused(base: Values, change: Values, named: str) -> None:
    render(base)
    with pytest.raises(Refused) as refused:
        render(merged(base, change))
    assert named in str(refused.value)
