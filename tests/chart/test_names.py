"""Names and labels of objects: unique for each release, and changed where an object cannot be."""

import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from chart.rendering import CHART, HELM, RELEASE, Manifest, of_kind, render, rendered_release
from chart.value_sets import DEVELOPMENT, EVERYTHING, SETS, Values, at, merged
from engine_common import __version__

pytestmark = pytest.mark.helm

_LONG = "a-release-name-of-more-than-forty-characters"


def _job(values: Values) -> Manifest:
    (job,) = of_kind(render(values), "Job")
    return job


def _identities(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in manifests}


@pytest.mark.parametrize(
    "change",
    [
        at("image.tag", "9.9.9"),
        at("image.registry", "registry.example.com"),
        at("image.pullPolicy", "Always"),
        at("image.pullSecrets", ["pull"]),
        at("logLevel", "debug"),
        at("migrations.resources", {"limits": {"memory": "1Gi"}}),
        at("migrations.patienceSeconds", 60),
        at("postgres.passwordKey", "other"),
    ],
    ids=json.dumps,
)
def test_a_changed_migrate_job_has_another_name(change: Values) -> None:
    """Kubernetes refuses to change a Job, and outside Helm the revision is always 1."""
    before, after = _job(DEVELOPMENT), _job(merged(DEVELOPMENT, change))
    assert before["spec"] != after["spec"]
    assert before["metadata"]["name"] != after["metadata"]["name"]


def test_a_migrate_job_keeps_its_name_while_its_spec_is_the_same() -> None:
    """A second apply with the same values, or with values of other components, changes nothing."""
    name = _job(DEVELOPMENT)["metadata"]["name"]
    assert name == _job(at("api.replicas", 5))["metadata"]["name"]
    version = re.escape(__version__.replace(".", "-"))
    assert re.fullmatch(rf"{RELEASE}-migrate-{version}-[0-9a-f]{{8}}-1", name)


@pytest.mark.parametrize("name", [RELEASE, _LONG, "x" * 53])
def test_names_of_jobs_fit_into_the_label_of_their_pods(name: str) -> None:
    """The Job controller copies a Job's name into a label, which has at most 63 characters."""
    for manifest in rendered_release(name):
        assert len(manifest["metadata"]["name"]) <= 63
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_a_plain_apply_starts_no_test_pod(values: Values) -> None:
    """Only Helm knows the annotation of a hook: `kubectl apply` would start the pod, which places an order."""
    quiet = {key: value for key, value in values.items() if key != "test"}
    hooks = [each for each in render(quiet) if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    assert hooks == []
    assert of_kind(render(quiet), "Pod") == []


def test_long_release_names_with_the_same_beginning_give_distinct_objects() -> None:
    first, second = (_identities(rendered_release(f"{_LONG}-{end}")) for end in ("a", "b"))
    assert first & second == set()


@pytest.mark.parametrize(
    ("release", "prefix"),
    [("engine", "engine-order-engine"), ("order-engine", "order-engine"), ("a" * 27, f"{'a' * 27}-order-engine")],
)
def test_short_release_names_keep_the_names_of_their_objects(release: str, prefix: str) -> None:
    """Other names would begin with empty volumes."""
    assert ("Deployment", f"{prefix}-api") in _identities(rendered_release(release))


@pytest.mark.parametrize(
    ("tag", "label"),
    [("", __version__), ("9.9.9", "9.9.9"), ("_nightly.", "nightly"), ("a" * 128, "a" * 63), ("___", "unknown")],
)
def test_the_version_label_follows_the_tag(tag: str, label: str) -> None:
    """A label is shorter than a tag, and begins and ends with a letter or digit."""
    manifests = render(at("image.tag", tag))
    objects = [each["metadata"] for each in manifests]
    pods = [each["spec"]["template"]["metadata"] for each in of_kind(manifests, "Deployment", "Job")]
    found = {each["labels"].get("app.kubernetes.io/version") for each in [*objects, *pods]} - {None}
    assert found == {label}


def test_policies_and_services_select_pods_of_their_own_release_alone() -> None:
    """Two releases share a namespace."""

    def selectors(value: Any) -> list[dict[str, str]]:
        if isinstance(value, list):
            return [found for each in value for found in selectors(each)]
        if not isinstance(value, dict):
            return []
        own = [value["podSelector"].get("matchLabels", {})] if "podSelector" in value else []
        return own + [found for each in value.values() for found in selectors(each)]

    for manifest in of_kind(render(EVERYTHING), "NetworkPolicy"):
        for labels in selectors(manifest["spec"]):
            if any(key.startswith("app.kubernetes.io/") for key in labels):
                assert labels["app.kubernetes.io/instance"] == RELEASE
    for service in of_kind(render(EVERYTHING), "Service"):
        assert service["spec"]["selector"]["app.kubernetes.io/instance"] == RELEASE


def test_two_releases_in_one_namespace_share_no_object() -> None:
    assert _identities(rendered_release("first")) & _identities(rendered_release("second")) == set()


def test_the_packaged_chart_has_what_its_readme_links_to(tmp_path: Path) -> None:
    assert HELM is not None
    subprocess.run([HELM, "package", CHART, "--destination", tmp_path], check=True, capture_output=True, timeout=60)
    (package,) = tmp_path.iterdir()
    with tarfile.open(package) as archive:
        packed = set(archive.getnames())
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (CHART / "README.md").read_text())
    assert targets
    assert [target for target in targets if f"{CHART.name}/{target}" not in packed] == []
