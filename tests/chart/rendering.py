"""Runs `helm template`, once for each set of values."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/order-engine"
RELEASE = "order-engine"
NAMESPACE = "trading"

Manifest = dict[str, Any]
Values = dict[str, Any]

HELM = shutil.which("helm")
WITHOUT_HELM = "helm is not in PATH: what the chart renders is not tested; install Helm 4 to test it"


def chart_sentence() -> str:
    """Say whether what the chart renders is tested."""
    return f"the chart is rendered by {HELM}" if HELM else WITHOUT_HELM


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(Exception):
    """Helm does not render these values; the message is what its user reads."""


def rendered_text(values: Values, *options: str) -> str:
    """Return what Helm prints. Raises Refused."""
    return _helm_template(json.dumps(values, sort_keys=True), options)


def notes(values: Values, *options: str) -> str:
    """Return what Helm prints for people after an installation. Raises Refused."""
    printed = _helm(("install", RELEASE, CHART, "--dry-run=client", *options), json.dumps(values, sort_keys=True))
    return printed.split("\nNOTES:\n", 1)[1]


def render(values: Values, *options: str) -> list[Manifest]:
    """Return the manifests. Raises Refused."""
    return _parsed(json.dumps(values, sort_keys=True), options)


@cache
def _parsed(values: str, options: tuple[str, ...]) -> list[Manifest]:
    return [manifest for manifest in yaml.load_all(_helm_template(values, options), _LOADER) if manifest]


@cache
def _helm_template(values: str, options: tuple[str, ...]) -> str:
    return _helm(("template", RELEASE, CHART, *options), values)


def rendered_release(name: str) -> list[Manifest]:
    """Return the manifests of a release of this name. Raises Refused."""
    return [one for one in yaml.load_all(_helm(("template", name, CHART), "{}"), _LOADER) if one]


def _helm(arguments: tuple[str | Path, ...], values: str) -> str:
    assert HELM is not None, WITHOUT_HELM
    done = subprocess.run(
        [HELM, *arguments, "--namespace", NAMESPACE, "--values", "-"],
        input=values,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def find(manifests: list[Manifest], kind: str, component: str) -> Manifest:
    """Return the one object of the kind whose name ends with the component's."""
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == f"{RELEASE}-{component}"]
    return found


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pod_templates(manifests: list[Manifest]) -> list[Manifest]:
    """Return whatever becomes a pod, as {metadata, spec}."""
    workloads = of_kind(manifests, "Deployment", "StatefulSet", "Job")
    return [m["spec"]["template"] for m in workloads] + of_kind(manifests, "Pod")


def component(pod: Manifest) -> str:
    """Return which part of the engine the pod is."""
    return pod["metadata"]["labels"]["app.kubernetes.io/component"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return a pod's containers, the init containers first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: Manifest) -> dict[str, Any]:
    """Return a container's environment: values, or where they come from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}
