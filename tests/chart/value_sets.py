"""Sets of values that together turn on everything the chart can do."""

from typing import Any

import yaml

from chart.rendering import CHART, Values

DEVELOPMENT: Values = {}

EVERYTHING: Values = {
    "image": {"registry": "registry.example.com/team", "pullSecrets": ["pull"]},
    "api": {"autoscaling": {"enabled": True}, "env": {"RATE_LIMIT_READS": "off"}, "podAnnotations": {"note": "api"}},
    "worker": {
        "autoscaling": {"enabled": True},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "env": {"ENGINE_MAX_IN_FLIGHT": 1_000_000},
    },
    "mockdex": {"admin": {"enabled": True}, "replicas": 1},
    "apiKeys": {"existingSecret": "api-keys"},
    "postgres": {"nodeSelector": {"order-engine/data": "true"}, "persistence": {"storageClass": "fast"}},
    "ingress": {"enabled": True, "host": "orders.example.com", "className": "traefik"},
    "test": {"enabled": True, "apiKey": {"existingSecret": "test-key"}},
    "metrics": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}},
}

BARE: Values = {
    "api": {"replicas": None},
    "mockdex": {"persistence": {"enabled": False}},
    "postgres": {"persistence": {"enabled": False}},
    "valkey": {"persistence": {"enabled": False}},
    "jaeger": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
}

PRODUCTION: Values = yaml.safe_load((CHART / "examples/production.yaml").read_text())


def merged(base: Values, change: Values) -> Values:
    """Return the base with the change laid over it."""
    result: dict[str, Any] = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def at(path: str, value: Any) -> Values:
    """Return values with one value set, by its dotted path."""
    head, _, rest = path.partition(".")
    return {head: at(rest, value) if rest else value}


FILES: Values = merged(EVERYTHING, {"secretsAsFiles": True})

SETS = {"development": DEVELOPMENT, "everything": EVERYTHING, "bare": BARE, "production": PRODUCTION, "files": FILES}
