"""The release by helm: what was installed, and changes of it that keep its other values."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.commands import run

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "order-engine"


class Release:
    """A release of the chart; `context` is one of kubectl's contexts."""

    def __init__(self, context: str, namespace: str, name: str) -> None:
        self.context = context
        self.namespace = namespace
        self.name = name

    async def helm(self, *args: str, within_s: float = 330) -> str:
        """Run helm in the release's namespace. Raises CommandFailed."""
        where = ("--kube-context", self.context, "--namespace", self.namespace)
        return await run("helm", *args, *where, within_s=within_s)

    async def revision(self) -> int:
        """Return the number of the revision that is deployed."""
        return int((await self._json("status", self.name))["version"])

    async def values(self) -> Mapping[str, Any]:
        """Return the values that were given to it."""
        return await self._json("get", "values", self.name) or {}

    async def upgrade(self, *values: str, within_s: int = 240) -> None:
        """Change values, `NAME=VALUE` each, and wait until every pod and Job is through. Raises CommandFailed."""
        await self._change("upgrade", self.name, str(CHART), "--reuse-values", *_set(values), within_s=within_s)

    async def install(self, file: Path, *values: str, within_s: int = 240) -> None:
        """Install the chart with a file of values and some more, and wait for it. Raises CommandFailed."""
        await self._change("install", self.name, str(CHART), "--values", str(file), *_set(values), within_s=within_s)

    async def rollback(self, revision: int, within_s: int = 240) -> None:
        """Go back to a revision, and wait until every pod and Job is through. Raises CommandFailed."""
        await self._change("rollback", self.name, str(revision), within_s=within_s)

    async def uninstall(self) -> None:
        """Remove it, and wait until its objects are gone. Raises CommandFailed."""
        await self.helm("uninstall", self.name, "--wait", "--timeout=120s", within_s=150)

    async def test(self) -> str:
        """Run the chart's tests, and return what they wrote. Raises CommandFailed."""
        return await self.helm("test", self.name, "--logs", "--timeout=120s", within_s=150)

    async def _change(self, *args: str, within_s: int) -> None:
        await self.helm(*args, "--wait", "--wait-for-jobs", f"--timeout={within_s}s", within_s=within_s + 30)

    async def _json(self, *args: str) -> Any:
        return json.loads(await self.helm(*args, "--output", "json"))


def _set(values: Sequence[str]) -> list[str]:
    return [argument for value in values for argument in ("--set-string", value)]
