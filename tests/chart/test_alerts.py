"""Alerts ask for metrics that the processes have, and each says what to do."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from chart.rendering import CHART, ROOT, render
from chart.value_sets import EVERYTHING

ALERTS = yaml.safe_load((CHART / "files/alerts.yaml").read_text())

# Labels that do not come from the processes, but from the PodMonitor.
_OF_THE_TARGET = {"namespace", "release", "pod", "container"}

_SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:]\w*)\{(?P<matchers>[^}]*)\}")
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?P<operator>=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
_GROUPING = re.compile(r"\bby \((?P<labels>[^)]*)\)")
_TEMPLATED = re.compile(r"\$labels\.(\w+)")


@pytest.fixture(scope="module")
def emitted() -> dict[str, list[dict[str, str]]]:
    """Return the samples that each service's own instruments have when all were used: labels by name."""
    samples: dict[str, list[dict[str, str]]] = {}
    for sample in exposed("used"):
        samples.setdefault(sample.name, []).append(dict(sample.labels))
    return samples


def exposed(when: str) -> Iterator[Sample]:
    """Yield what the services expose, `used` or as they `start`."""
    for service in ("api", "worker"):
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("emit_metrics.py"), service, when],
            env={"METRICS_PORT": "9464", "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for family in text_string_to_metric_families(done.stdout):
            yield from family.samples


def matching(value: str, operator: str, wanted: str) -> bool:
    found = re.fullmatch(wanted, value) is not None if "~" in operator else value == wanted
    return found != operator.startswith("!")


def complaints(expression: str, emitted: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    """Yield what an expression asks for and no process emits."""
    grouped = {label.strip() for found in _GROUPING.finditer(expression) for label in found["labels"].split(",")}
    selectors = list(_SELECTOR.finditer(expression))
    if not selectors:
        yield "no metric at all"
    for selector in selectors:
        samples = emitted.get(selector["name"])
        if samples is None:
            yield selector["name"]
            continue
        for matcher in _MATCHER.finditer(selector["matchers"]):
            label, operator, value = matcher.groups()
            for alternative in value.split("|"):
                found = any(matching(sample.get(label, ""), operator, alternative) for sample in samples)
                if label not in _OF_THE_TARGET and not found:
                    yield f'{selector["name"]}{{{label}{operator}"{alternative}"}}'
        for label in grouped:
            if not any(label in sample for sample in samples):
                yield f"{selector['name']} by {label}"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_the_processes_emit(
    alert: dict[str, str], emitted: dict[str, list[dict[str, str]]]
) -> None:
    assert list(complaints(alert["expr"], emitted)) == []
    for label in _TEMPLATED.findall(alert["description"]):
        assert label in alert["expr"], f"{label} is not among the labels that the expression keeps"


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("sum(rate(engine_orders_lost_total{}[5m]))", "engine_orders_lost_total"),
        ('engine_orders_finished_total{status="lost"}', 'engine_orders_finished_total{status="lost"}'),
        ("sum by (pool) (engine_orders_finished_total{})", "engine_orders_finished_total by pool"),
        ('engine_requests_refused_total{code=~"unavailable|gone"}', 'engine_requests_refused_total{code=~"gone"}'),
        ("vector(1)", "no metric at all"),
    ],
)
def test_what_is_not_emitted_is_noticed(
    expression: str, complaint: str, emitted: dict[str, list[dict[str, str]]]
) -> None:
    assert list(complaints(expression, emitted)) == [complaint]


def test_every_metric_in_an_alert_is_looked_at() -> None:
    """A metric without braces would go unnoticed: each has at least the namespace, and the release in it."""
    for alert in ALERTS:
        named = re.findall(r"\b(?:engine|http|mockdex|process)_\w+", re.sub(r"\{[^}]*\}", "{}", alert["expr"]))
        assert named == [found["name"] for found in _SELECTOR.finditer(alert["expr"])]
        for found in _SELECTOR.finditer(alert["expr"]):
            assert found["matchers"].startswith('namespace="NAMESPACE",release="RELEASE"')


def test_a_counter_in_an_alert_is_there_at_zero_before_anything_happened() -> None:
    """Prometheus sees no increase in a series that is born with a count: the first error would go unnoticed."""
    counted = {found["name"] for alert in ALERTS for found in _SELECTOR.finditer(alert["expr"])}
    counted = {name for name in counted if name.endswith("_total")}
    at_start = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in exposed("start")}
    assert counted <= {name for name, _ in at_start}
    for sample in exposed("used"):
        if sample.name in counted:
            assert at_start.get((sample.name, frozenset(sample.labels.items()))) == 0, sample


def test_seconds_are_counted_in_buckets_that_tell_orders_apart(emitted: dict[str, list[dict[str, str]]]) -> None:
    """OpenTelemetry's own bounds are for milliseconds: every order would be in the first bucket."""
    for name in (
        "engine_order_queue_wait_seconds",
        "engine_order_state_duration_seconds",
        "engine_venue_quote_duration_seconds",
    ):
        bounds = {float(sample["le"]) for sample in emitted[f"{name}_bucket"]}
        assert len([bound for bound in bounds if bound < 5]) >= 5


def test_every_alert_has_a_place_in_the_handbook() -> None:
    """The runbook's anchor is a heading there, and no heading is left over."""
    text = (ROOT / "docs/operations.md").read_text()
    part = text.split("\n## Alerts\n", 1)[1].split("\n## ", 1)[0]
    headings = re.findall(r"^### (\w+)$", part, flags=re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"].removeprefix("OrderEngine") for alert in ALERTS)


@pytest.mark.helm
def test_rules_are_rendered_for_the_release_with_summary_description_and_runbook() -> None:
    rules = rendered_rules()
    assert [rule["alert"] for rule in rules] == [alert["alert"] for alert in ALERTS]
    for rule in rules:
        assert 'namespace="trading",release="order-engine"' in rule["expr"]
        assert "NAMESPACE" not in str(rule)
        assert "RELEASE" not in str(rule)
        assert rule["labels"].pop("severity") in ("critical", "warning")
        assert rule["labels"] == {"namespace": "trading", "release": "order-engine"}
        anchor = rule["alert"].removeprefix("OrderEngine").lower()
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{anchor}"


@pytest.mark.helm
def test_what_is_scraped_says_of_which_release_it_is() -> None:
    """Two releases in one namespace would otherwise hide one another's missing workers."""
    (monitor,) = [manifest for manifest in render(EVERYTHING) if manifest["kind"] == "PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "release", "replacement": "order-engine"}]


def rendered_rules() -> list[dict[str, dict[str, str]]]:
    (found,) = [manifest for manifest in render(EVERYTHING) if manifest["kind"] == "PrometheusRule"]
    (group,) = found["spec"]["groups"]
    return group["rules"]
