"""Pods may call what their settings name, and nothing else."""

import re
from collections.abc import Iterator

import pytest

from chart.rendering import Manifest, component, containers, environment, find, of_kind, pod_templates, render
from chart.value_sets import BARE, DEVELOPMENT, EVERYTHING, FILES, PRODUCTION, merged

pytestmark = pytest.mark.helm

Edge = tuple[str, str, int]
IN_CLUSTER = re.compile(r"order-engine-(?P<to>[a-z]+):(?P<port>\d+)")


def edges_of_settings(manifests: list[Manifest]) -> set[Edge]:
    """Return who calls whom, as the environment of the pods has it."""
    return {
        (component(pod), found["to"], int(found["port"]))
        for pod in pod_templates(manifests)
        for container in containers(pod)
        for value in environment(container).values()
        if isinstance(value, str)
        for found in IN_CLUSTER.finditer(value)
    }


def selected(selector: Manifest, labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def rules(manifests: list[Manifest], pod: Manifest, direction: str) -> Iterator[tuple[list[Manifest] | None, set[int]]]:
    """Yield what the policies allow a pod: with whom (None: anybody), and on which ports."""
    for policy in of_kind(manifests, "NetworkPolicy"):
        if selected(policy["spec"]["podSelector"], pod["metadata"]["labels"]):
            assert policy["spec"]["policyTypes"]
            for rule in policy["spec"].get(direction, []):
                peers = rule.get("to" if direction == "egress" else "from")
                yield peers, {port["port"] for port in rule["ports"]}


def allows(manifests: list[Manifest], pod: Manifest, direction: str, other: Manifest, port: int) -> bool:
    return any(
        port in ports
        and peers is not None
        and any("podSelector" in peer and selected(peer["podSelector"], other["metadata"]["labels"]) for peer in peers)
        for peers, ports in rules(manifests, pod, direction)
    )


def edges_of_policies(manifests: list[Manifest]) -> set[Edge]:
    """Return who may call whom: both ends have to allow it."""
    pods = pod_templates(manifests)
    ports = {port for pod in pods for _, ports in rules(manifests, pod, "ingress") for port in ports}
    return {
        (component(caller), component(callee), port)
        for caller in pods
        for callee in pods
        for port in ports
        if allows(manifests, caller, "egress", callee, port) and allows(manifests, callee, "ingress", caller, port)
    }


@pytest.mark.parametrize("values", [DEVELOPMENT, EVERYTHING, PRODUCTION, FILES])
def test_the_edges_that_settings_name_are_open_and_no_others(values: dict[str, object]) -> None:
    manifests = render(values)
    assert edges_of_policies(manifests) == edges_of_settings(manifests)


def test_the_development_release_has_these_edges() -> None:
    """Written out, so that a new one is noticed."""
    assert edges_of_settings(render({"test": {"enabled": True}})) == {
        *((service, "postgres", 5432) for service in ("api", "worker", "migrate")),
        *((service, "valkey", 6379) for service in ("api", "worker")),
        *((service, "jaeger", 4318) for service in ("api", "worker", "mockdex")),
        ("worker", "mockdex", 4000),
        ("test", "api", 3000),
        ("test", "jaeger", 16686),
    }


def test_everything_is_denied_to_every_pod_at_first() -> None:
    manifests = render(DEVELOPMENT)
    deny = find(manifests, "NetworkPolicy", "deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert deny.keys() == {"podSelector", "policyTypes"}
    assert all(selected(deny["podSelector"], pod["metadata"]["labels"]) for pod in pod_templates(manifests))


def outside(manifests: list[Manifest], name: str) -> set[int]:
    """Return the ports on which a pod may call anybody."""
    (pod,) = [pod for pod in pod_templates(manifests) if component(pod) == name]
    return {port for peers, ports in rules(manifests, pod, "egress") if peers is None for port in ports}


def test_servers_outside_are_called_on_their_ports_alone() -> None:
    manifests = render(PRODUCTION)
    assert outside(manifests, "api") == {5432, 6380, 4318}
    assert outside(manifests, "worker") == {5432, 6380, 4318, 443}
    assert outside(manifests, "migrate") == {5432}
    assert not any(outside(render(EVERYTHING), name) for name in ("api", "worker", "mockdex", "migrate", "test"))


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://dex.internal:8080", 8080),
        ("https://dex.internal", 443),
        ("http://dex.internal/path:9/", 80),
        ("https://[fd00::1]:8443/rpc", 8443),
        ("http://[fd00::1]", 80),
    ],
)
def test_the_port_of_a_url_is_open_and_no_other(url: str, port: int) -> None:
    """A port that had to be said a second time was forgotten, and the pods ran into their own policy."""
    manifests = render(merged(PRODUCTION, {"dex": {"url": url}, "otel": {"endpoint": "http://c.obs:4317"}}))
    assert outside(manifests, "worker") == {5432, 6380, 4317, port}
    assert outside(manifests, "api") == {5432, 6380, 4317}


def test_metrics_are_read_from_the_namespace_of_prometheus_alone() -> None:
    (rule,) = find(render(PRODUCTION), "NetworkPolicy", "prometheus")["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}]
    assert rule["ports"] == [{"port": 9464}]


def test_clients_come_through_the_namespace_of_the_ingress_alone() -> None:
    (rule,) = find(render(PRODUCTION), "NetworkPolicy", "ingress-to-api")["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "traefik"}}}]


def test_policies_can_be_left_to_somebody_else() -> None:
    assert not of_kind(render(BARE), "NetworkPolicy")
