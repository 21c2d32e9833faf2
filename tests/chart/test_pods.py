"""What operators may add to pods: variables from Secrets, volumes, labels, security contexts, digests."""

from typing import Any

import pytest

from chart.rendering import Manifest, Refused, component, containers, environment, find, of_kind, pod_templates, render
from chart.value_sets import DEVELOPMENT, EVERYTHING, PRODUCTION, Values, at, merged

pytestmark = pytest.mark.helm

SERVICES = ("api", "worker", "mockdex")
SECRET = {"secretKeyRef": {"name": "some-secret", "key": "token"}}
DIGEST = "sha256:" + "1" * 64


def pod(values: Values, name: str) -> Manifest:
    return find(render(values), "Deployment", name)["spec"]["template"]


def main(values: Values, name: str) -> Manifest:
    (container,) = pod(values, name)["spec"]["containers"]
    return container


@pytest.mark.parametrize("name", SERVICES)
def test_a_variable_comes_from_a_secret(name: str) -> None:
    """A token need not stand in the values."""
    values = at(f"{name}.env", {"SOME_TOKEN": {"valueFrom": SECRET}, "SOME_NUMBER": 2_000_000})
    variables = environment(main(values, name))
    assert (variables["SOME_TOKEN"], variables["SOME_NUMBER"]) == (SECRET, "2000000")


@pytest.mark.parametrize("name", SERVICES)
def test_all_keys_of_a_secret_become_variables(name: str) -> None:
    source = [{"secretRef": {"name": "some-secret"}}, {"prefix": "A_", "configMapRef": {"name": "some-map"}}]
    assert main(at(f"{name}.envFrom", source), name)["envFrom"] == source


@pytest.mark.parametrize("name", SERVICES)
def test_further_volumes_are_mounted(name: str) -> None:
    """Beside the chart's own, which stay."""
    volume = {"name": "certificates", "secret": {"secretName": "certificates"}}
    mount = {"name": "certificates", "mountPath": "/etc/certificates", "readOnly": True}
    change = {name: {"extraVolumes": [volume], "extraVolumeMounts": [mount]}}
    before, after = pod(DEVELOPMENT, name)["spec"], pod(change, name)["spec"]
    assert [each for each in after["volumes"] if each not in before["volumes"]] == [volume]
    added = [each for each in main(change, name)["volumeMounts"] if each not in main(DEVELOPMENT, name)["volumeMounts"]]
    assert added == [mount]
    assert len(after["volumes"]) == len(before["volumes"]) + 1


def test_user_and_group_can_be_left_to_the_cluster() -> None:
    """OpenShift gives each namespace its own range and refuses other numbers."""
    unset = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), "unset")
    for each in pod_templates(render(merged(EVERYTHING, {"podSecurityContext": unset}))):
        context = each["spec"]["securityContext"]
        assert not context.keys() & unset.keys()
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_fields_of_security_contexts_are_replaced_one_by_one() -> None:
    change = {"podSecurityContext": {"fsGroup": 1_000_680_000}, "containerSecurityContext": {"runAsUser": 1234}}
    for each in pod_templates(render(merged(EVERYTHING, change))):
        assert each["spec"]["securityContext"]["fsGroup"] == 1_000_680_000
        assert each["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in containers(each):
            assert container["securityContext"]["runAsUser"] == 1234
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("name", SERVICES)
def test_a_startup_probe_is_changed_in_part(name: str) -> None:
    change = {"failureThreshold": 300, "initialDelaySeconds": 20}
    probe = main(at(f"{name}.startupProbe", change), name)["startupProbe"]
    assert (probe["failureThreshold"], probe["periodSeconds"], probe["httpGet"]["path"]) == (300, 1, "/livez")
    assert probe["initialDelaySeconds"] == 20


def test_every_pod_has_the_priority_class() -> None:
    pods = pod_templates(render(merged(EVERYTHING, at("priorityClassName", "trading"))))
    assert {each["spec"].get("priorityClassName") for each in pods} == {"trading"}
    assert not any("priorityClassName" in each["spec"] for each in pod_templates(render(EVERYTHING)))


def test_services_and_the_service_account_have_annotations() -> None:
    note = {"example.com/note": "x"}
    values = {"serviceAccount": {"annotations": note}, **{name: {"serviceAnnotations": note} for name in SERVICES[::2]}}
    manifests = render(values)
    (account,) = of_kind(manifests, "ServiceAccount")
    assert account["metadata"]["annotations"] == note
    for name in SERVICES[::2]:
        assert find(manifests, "Service", name)["metadata"]["annotations"] == note


@pytest.mark.parametrize("name", SERVICES)
def test_labels_are_added_to_pods_and_not_to_selectors(name: str) -> None:
    """A selector cannot be changed."""
    label = {"example.com/team": "trading"}
    deployment = find(render(at(f"{name}.podLabels", label)), "Deployment", name)
    assert label.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"] == find(render(DEVELOPMENT), "Deployment", name)["spec"]["selector"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_digest_takes_precedence_over_the_tag(name: str) -> None:
    """For every container of that image: the migrations are those of the api's image."""
    values: Values = {"image": {"registry": "registry.example.com", "tag": "1.2", "digests": {name: DIGEST}}}
    images = {
        container["image"]
        for each in pod_templates(render(values))
        for container in containers(each)
        if component(each) in (*SERVICES, "migrate")
    }
    assert {image for image in images if f"-{name}" in image} == {f"registry.example.com/order-engine-{name}@{DIGEST}"}
    assert all(image.endswith(":1.2") for image in images if f"-{name}" not in image)


def test_headers_of_the_collector_come_from_a_secret() -> None:
    values = merged(PRODUCTION, {"otel": {"endpoint": "https://c.example.com", "headers": {"existingSecret": "otel"}}})
    for name in ("api", "worker"):
        assert environment(main(values, name))["OTEL_EXPORTER_OTLP_HEADERS"] == {
            "secretKeyRef": {"name": "otel", "key": "headers"}
        }


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (at("otel.headers.existingSecret", "otel"), "otel.headers.existingSecret is set without otel.endpoint"),
        (at("api.env", {"DATABASE_URL": {"valueFrom": SECRET}}), "api.env.DATABASE_URL"),
        (at("api.env", {"A_TOKEN": {"valueFrom": {"secretRef": {}}}}), "/api/env/A_TOKEN"),
        (at("api.env", {"A_TOKEN": {"value": "x"}}), "/api/env/A_TOKEN"),
        (at("worker.envFrom", [{"secret": {"name": "x"}}]), "/worker/envFrom/0"),
        (
            at("mockdex.extraVolumes", [{"name": "data", "emptyDir": {}}]),
            "mockdex.extraVolumes: the chart has a volume",
        ),
        (at("api.podLabels", {"app.kubernetes.io/instance": "other"}), "api.podLabels.app.kubernetes.io/instance"),
        (at("api.extraVolumeMounts", [{"name": "x"}]), "/api/extraVolumeMounts/0"),
        (at("podSecurityContext", {"runAsUsr": 5}), "/podSecurityContext"),
        (at("containerSecurityContext", {"fsGroup": 5}), "/containerSecurityContext"),
        (at("image.digests.api", "sha256:123"), "/image/digests/api"),
        (at("api.startupProbe", {"httpGet": {"path": "/"}}), "/api/startupProbe"),
        (at("worker.startupProbe.initialDelaySeconds", -1), "/worker/startupProbe/initialDelaySeconds"),
    ],
)
def test_what_kubernetes_or_the_chart_could_not_take_is_refused_by_its_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        render(change)
    assert named in str(refused.value)
