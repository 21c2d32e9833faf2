"""Whatever the values, what is rendered is valid, confined, consistent, and small."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from annotated_types import Le

from chart.rendering import (
    CHART,
    Manifest,
    component,
    containers,
    environment,
    find,
    of_kind,
    pod_templates,
    render,
)
from chart.value_sets import BARE, DEVELOPMENT, EVERYTHING, PRODUCTION, SETS
from engine_api import components, enqueuing
from engine_api.settings import ApiSettings
from engine_common import __version__, live
from engine_common.telemetry.otlp import FLUSH_SECONDS
from kindstack.release import STOPPED

pytestmark = pytest.mark.helm

KUBERNETES = "1.34"
TRAEFIK = CHART.parents[1] / "kind/traefik.yaml"
# What kubeadm's control plane (0.65), two pods of CoreDNS (0.2), kindnet (0.1) and kube-proxy (0.05, by `make kind-up`)
# ask for on kind's first node.
CORES_OF_KUBERNETES = 1.0
OPERATOR_SCHEMAS = yaml.safe_load((CHART.parents[2] / "tests/chart/prometheus_operator.yaml").read_text())


@pytest.fixture(params=SETS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(SETS[request.param])


def test_every_object_is_one_that_kubernetes_takes(manifests: list[Manifest]) -> None:
    """Those of the Prometheus operator are held against the part of its schemas that we use."""
    for manifest in manifests:
        if manifest["kind"] in OPERATOR_SCHEMAS:
            jsonschema.validate(manifest, OPERATOR_SCHEMAS[manifest["kind"]])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_names_are_unique_and_labels_tell_whose_an_object_is(manifests: list[Manifest]) -> None:
    names = [(m["kind"], m["metadata"]["name"]) for m in manifests]
    assert len(set(names)) == len(names)
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "order-engine"
        assert labels["app.kubernetes.io/version"] == __version__
        assert {"app.kubernetes.io/instance", "app.kubernetes.io/component"} <= labels.keys()
        assert manifest["metadata"]["namespace"] == "trading"


def test_every_pod_is_within_pod_security_restricted(manifests: list[Manifest]) -> None:
    """And beyond it: a read-only root, and no token of the Kubernetes API."""
    for pod in pod_templates(manifests):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        allowed = {"emptyDir", "configMap", "secret", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in spec["volumes"])
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert all("hostPort" not in port for port in container.get("ports", []))


def references(pod: Manifest) -> Iterator[tuple[str, str]]:
    """Yield what a pod needs of the release, as kind and name."""
    yield "ServiceAccount", pod["spec"]["serviceAccountName"]
    for volume in pod["spec"]["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in containers(pod):
        for value in environment(container).values():
            if isinstance(value, str) and "://" in value and "order-engine-" in value:
                yield "Service", value.split("@")[-1].split("://")[-1].split(":")[0]


def test_what_a_pod_refers_to_is_rendered_too(manifests: list[Manifest]) -> None:
    there = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    for pod in pod_templates(manifests):
        assert set(references(pod)) <= there
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | {
            claim["metadata"]["name"]
            for stateful in of_kind(manifests, "StatefulSet")
            if stateful["spec"]["template"] is pod
            for claim in stateful["spec"].get("volumeClaimTemplates", [])
        }
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def matches(selector: dict[str, str], pod: Manifest) -> bool:
    return selector.items() <= pod["metadata"]["labels"].items()


def test_services_and_controllers_select_their_own_pods_alone(manifests: list[Manifest]) -> None:
    pods = pod_templates(manifests)
    for service in of_kind(manifests, "Service"):
        (pod,) = [pod for pod in pods if matches(service["spec"]["selector"], pod)]
        open_ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= open_ports
    for controller in of_kind(manifests, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        (pod,) = [pod for pod in pods if matches(controller["spec"]["selector"]["matchLabels"], pod)]
        assert controller["metadata"]["name"].endswith(component(pod))


def test_no_secret_is_made_and_none_is_written_down(manifests: list[Manifest]) -> None:
    """Passwords are references, or stand in a URL as $(VARIABLE); a template of a URL has a word in their place."""
    assert not of_kind(manifests, "Secret")
    for pod in pod_templates(manifests):
        for container in containers(pod):
            for name, value in environment(container).items():
                if any(word in name for word in ("PASSWORD", "KEY", "TOKEN")) and not name.endswith("_FILE"):
                    assert "secretKeyRef" in value, name
                if isinstance(value, str) and "@" in value:
                    assert (":PASSWORD@" if name.endswith("_TEMPLATE") else ":$(") in value, name


def test_no_secret_is_an_argument(manifests: list[Manifest]) -> None:
    """Arguments are shown to whoever lists processes or containers."""
    for pod in pod_templates(manifests):
        for container in containers(pod):
            secret = {name for name, value in environment(container).items() if "secretKeyRef" in value}
            arguments = " ".join([*container.get("command", []), *container.get("args", [])])
            assert not [name for name in secret if name in arguments]


def test_a_variable_stands_once_and_after_those_that_it_uses(manifests: list[Manifest]) -> None:
    """Kubernetes expands what stands above, and cannot apply what stands twice."""
    for pod in pod_templates(manifests):
        for container in containers(pod):
            seen: set[str] = set()
            for entry in container.get("env", []):
                assert entry["name"] not in seen
                for used in entry.get("value", "").split("$(")[1:]:
                    assert used.split(")")[0] in seen
                seen.add(entry["name"])


def test_what_stays_is_probed_and_what_is_served_says_when_it_is_ready(manifests: list[Manifest]) -> None:
    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            kind = container[probe].get("httpGet") or container[probe].get("tcpSocket") or {"port": next(iter(ports))}
            assert kind["port"] in ports


def cpu(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def mebibytes(quantity: str) -> float:
    number, unit = quantity[:-2], quantity[-2:]
    return float(number) * {"Mi": 1, "Gi": 1024}[unit]


def test_memory_is_bounded_everywhere_and_cpu_is_throttled_nowhere(manifests: list[Manifest]) -> None:
    for pod in pod_templates(manifests):
        for container in containers(pod):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert container["resources"]["limits"].keys() == {"memory"}


def idle_requests(manifests: list[Manifest]) -> dict[str, tuple[float, float]]:
    """Return cores and MiB that each pod asks for; it asks for the most that it needs at once."""
    found: dict[str, tuple[float, float]] = {}
    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        requests = [c["resources"]["requests"] for c in containers(workload["spec"]["template"])]
        asked = max(cpu(one["cpu"]) for one in requests), max(mebibytes(one["memory"]) for one in requests)
        for number in range(workload["spec"].get("replicas", 1)):
            found[f"{workload['metadata']['name']}-{number}"] = asked
    return found


def test_idle_the_whole_release_requests_at_most_one_cpu_and_one_and_a_half_gibibytes() -> None:
    """Two apis, one of everything else."""
    asked = idle_requests(render(DEVELOPMENT))
    counted = sorted(name.removeprefix("order-engine-").rpartition("-")[0] for name in asked)
    assert counted == ["api", "api", "jaeger", "mockdex", "postgres", "valkey", "worker"]
    assert sum(cores for cores, _ in asked.values()) <= 1
    assert sum(memory for _, memory in asked.values()) <= 1536


def test_one_node_of_two_cores_takes_everything_when_the_other_one_is_drained() -> None:
    """With two workers and both ingress pods, beside Kubernetes itself; what does not fit would stay pending."""
    asked = idle_requests(render(DEVELOPMENT))
    ingress = idle_requests(list(yaml.safe_load_all(TRAEFIK.read_text())))
    second_worker = asked["order-engine-worker-0"]
    cores = sum(cores for cores, _ in [*asked.values(), *ingress.values(), second_worker])
    assert len(ingress) == 2
    assert round(cores, 3) <= 2 - CORES_OF_KUBERNETES


def test_rollouts_leave_no_gap_and_the_ledger_has_one_writer() -> None:
    manifests = render(DEVELOPMENT)
    for name in ("api", "worker"):
        spec = find(manifests, "Deployment", name)["spec"]
        assert spec["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
        assert spread["matchLabelKeys"] == ["pod-template-hash"]
    assert find(manifests, "Deployment", "mockdex")["spec"]["strategy"] == {"type": "Recreate"}
    api = find(manifests, "Deployment", "api")["spec"]["template"]["spec"]
    assert api["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}
    patient = ApiSettings(database_patience_s=longest_patience_s())
    leaves_within_s = enqueuing.FAREWELL_WITHIN_S + live.FAREWELL_WITHIN_S + 2 * components.CLOSE_WITHIN_S
    stops_within_s = patient.finish_within_s + leaves_within_s + FLUSH_SECONDS
    assert api["terminationGracePeriodSeconds"] > 10 + stops_within_s


def longest_patience_s() -> float:
    (bound,) = [each.le for each in ApiSettings.model_fields["database_patience_s"].metadata if isinstance(each, Le)]
    assert isinstance(bound, float | int)
    return bound


@pytest.mark.parametrize(
    ("values", "expected"),
    [(DEVELOPMENT, {"api": 2, "worker": None}), (BARE, {"api": None}), (EVERYTHING, {"api": None, "worker": None})],
)
def test_replicas_are_left_out_when_somebody_else_scales(values: dict[str, Any], expected: dict[str, Any]) -> None:
    """Helm applies server-side: what it does not send it does not take back from `kubectl scale` or an autoscaler."""
    manifests = render(values)
    for name, replicas in expected.items():
        spec = find(manifests, "Deployment", name)["spec"]
        assert spec.get("replicas") == replicas
        assert ("replicas" in spec) == (replicas is not None)


@pytest.mark.parametrize("values", [DEVELOPMENT, PRODUCTION, EVERYTHING])
def test_a_stopped_release_migrates_and_neither_accepts_nor_executes(values: dict[str, Any]) -> None:
    """A restored database is migrated and reconciled before anybody works on it; no autoscaler may bring pods back."""
    manifests = render(values, "--set", STOPPED)
    assert [find(manifests, "Deployment", name)["spec"]["replicas"] for name in ("api", "worker")] == [0, 0]
    assert of_kind(manifests, "HorizontalPodAutoscaler") == []
    assert len(of_kind(manifests, "Job")) == 1


def database_of(container: Manifest) -> dict[str, Any]:
    """Return the variable that says where the database is, with its value: one, by value or by file."""
    found = {k: v for k, v in environment(container).items() if k in ("DATABASE_URL", "DATABASE_URL_FILE")}
    assert len(found) == 1
    return found


def test_api_and_worker_wait_for_the_migrations_of_their_own_version(manifests: list[Manifest]) -> None:
    """The Job is no hook, and has a name for each revision, because a Job cannot be changed."""
    for name in ("api", "worker"):
        spec = find(manifests, "Deployment", name)["spec"]["template"]["spec"]
        (*_, waiter) = spec["initContainers"]
        assert waiter["command"] == ["python", "-m", "engine_common.migrate", "--wait"]
        assert waiter["image"] == spec["containers"][0]["image"]
        assert database_of(waiter) == database_of(spec["containers"][0])
    (job,) = of_kind(manifests, "Job")
    assert job["metadata"]["name"].startswith(f"order-engine-migrate-{__version__.replace('.', '-')}-")
    assert "helm.sh/hook" not in job["metadata"].get("annotations", {})
    assert database_of(job["spec"]["template"]["spec"]["containers"][0])


def test_a_production_release_has_no_server_of_its_own() -> None:
    """Everything that keeps data is somebody else's, reached by a Secret."""
    manifests = render(PRODUCTION)
    assert not of_kind(manifests, "StatefulSet", "PersistentVolumeClaim")
    api = environment(find(manifests, "Deployment", "api")["spec"]["template"]["spec"]["containers"][0])
    assert api["DATABASE_URL"] == {"secretKeyRef": {"name": "orders-app", "key": "uri"}}
    assert api["PGSSLMODE"] == "verify-full"
    assert api["ENV"] == "production"
    assert api["API_KEYS_FILE"] == "/etc/order-engine/api-keys/keys"


def test_what_must_outlive_a_release_does_and_the_rest_goes_with_it(manifests: list[Manifest]) -> None:
    """Claims stay: of StatefulSets by Kubernetes, the mock DEX's by Helm's policy. Hooks delete themselves."""
    for claim in of_kind(manifests, "PersistentVolumeClaim"):
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for manifest in manifests:
        annotations = manifest["metadata"].get("annotations", {})
        if "helm.sh/hook" in annotations:
            assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_a_release_is_tested_only_if_its_values_say_so() -> None:
    """The test swaps 0.1 SOL, which is real in production."""

    def hooks(values: dict[str, Any]) -> list[str]:
        return [m["kind"] for m in render(values) if "helm.sh/hook" in m["metadata"].get("annotations", {})]

    assert hooks(PRODUCTION) == []
    assert hooks({**PRODUCTION, "test": {**PRODUCTION["test"], "enabled": True}}) == ["ConfigMap", "Pod"]
    assert hooks({"test": {"enabled": True}}) == ["ConfigMap", "Pod"]
    assert hooks(DEVELOPMENT) == []


def test_a_pod_is_replaced_when_its_configuration_changes() -> None:
    """Jaeger reads its file once; its pod carries the file's checksum."""
    template = find(render(DEVELOPMENT), "Deployment", "jaeger")["spec"]["template"]
    other = find(render({"jaeger": {"maxTraces": 5}}), "Deployment", "jaeger")["spec"]["template"]
    assert template["metadata"]["annotations"] != other["metadata"]["annotations"]
