"""The Helm release: rendered, compared with what is deployed, brought to its new state."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from kindstack.documents import Document, part, text
from kindstack.faults import ProgramFailed, ReleaseBusy, StackError
from kindstack.images import DEVELOPMENT, ROOT
from kindstack.kubectl import Kubectl
from kindstack.programs import run

CHART = ROOT / "deploy" / "helm" / "order-engine"
# Labels of a revision: the digest of what it was made from, and its number, since Helm hands the labels of a revision
# on to the next one, also to somebody's `helm upgrade --reuse-values --set …`.
_INPUTS, _MADE_AS = "inputs", "made-as"

# What a restore waits for: everything but api and worker, on the right database, migrated. Both numbers are those that
# `kubectl scale` left, so that nobody contests the fields.
STOPPED = ",".join(f"{name}.replicas=0,{name}.autoscaling.enabled=false" for name in ("api", "worker"))


@dataclass(frozen=True)
class Release:
    """What is to be deployed, and where."""

    kubectl: Kubectl
    name: str
    namespace: str
    values: tuple[Path, ...]
    """files of values; what a later one says counts"""
    registry: str | None
    tag: str
    timeout_s: int
    chart: Path = CHART
    stopped: bool = False

    @property
    def arguments(self) -> list[str]:
        """The part of Helm's command line that says what is deployed."""
        values = [argument for file in self.values for argument in ("--values", str(file))]
        registry = ["--set-string", f"image.registry={self.registry}"] if self.registry else []
        return [
            str(self.chart),
            "--namespace",
            self.namespace,
            *values,
            *registry,
            "--set-string",
            f"image.tag={self.tag}",
            *(["--set", STOPPED] if self.stopped else []),
        ]

    def image(self, name: str) -> str:
        """Return the full name of one of our images."""
        return f"{self.registry}/{name}:{self.tag}" if self.registry else f"{name}:{self.tag}"

    async def render(self) -> str:
        """Return the manifests.

        Raises ProgramFailed, with Helm's words on a chart or values that are wrong.
        """
        return await run("helm", "template", self.name, *self.arguments)

    async def is_deployed(self) -> bool:
        """Tell whether the cluster holds a successful release of exactly this, with every pod ready."""
        marks = f"owner=helm,name={self.name},status=deployed,{_INPUTS}={self.inputs()}"
        found = await self.kubectl.items("secrets", "--namespace", self.namespace, "--selector", marks)
        ours = any(_label(each, _MADE_AS) == _label(each, "version") for each in found)
        return ours and await self._is_ready()

    async def newest_revision(self) -> int:
        """Return the number of the newest revision, good or not; 0 where there is none."""
        return max((int(each["revision"]) for each in await self._history()), default=0)

    async def way_back(self, newest_before: int) -> str:
        """Return what a person can do after a deployment that failed."""
        if await self.newest_revision() == newest_before:
            return "Nothing was changed."
        again = "When that is mended, deploy again"
        good = await self._good_revision()
        if good is None:
            return f"{again}."
        where = f"-n {self.namespace} --kube-context {self.kubectl.context} --wait --wait-for-jobs"
        return f"{again}; or go back to what worked: `helm rollback {self.name} {good} {where}`."

    async def deployed_tag(self) -> str | None:
        """Return the tag of the images that were deployed last with success, None where there is none."""
        good = await self._good_revision()
        if good is None:
            return None
        revision = f"--revision={good}"
        values = await run("helm", "get", "values", self.name, *self._where, revision, "--output=json")
        return text(json.loads(values) or {}, "image", "tag") or None

    async def newest_development_tag(self) -> str | None:
        """Return the development tag of the release of our chart that changed last, in any namespace.

        The nodes of a kind cluster have its images. None where no release has such a tag.
        """
        context = ["--kube-context", self.kubectl.context]
        listed = json.loads(await run("helm", "list", "--all-namespaces", *context, "--deployed", "--output=json"))
        ours = [each for each in listed if re.fullmatch(rf"{re.escape(CHART.name)}-\d.*", text(each, "chart"))]
        for each in sorted(ours, key=lambda found: text(found, "updated"), reverse=True):
            where = ["--namespace", text(each, "namespace"), *context]
            values = json.loads(await run("helm", "get", "values", text(each, "name"), *where, "--output=json"))
            tag = text(values or {}, "image", "tag")
            if tag.startswith(DEVELOPMENT):
                return tag
        return None

    async def require_idle(self) -> None:
        """Raise ReleaseBusy while another Helm operation holds the release."""
        shown = json.loads(await run("helm", "list", *self._where, "--pending", "--output=json"))
        held = next((each for each in shown if each["name"] == self.name), None)
        if held:
            good = await self._good_revision()
            undo = f"uninstall {self.name}" if good is None else f"rollback {self.name} {good}"
            raise ReleaseBusy(
                f"Release {self.name} is {held['status']}: another helm is at work on it, or was killed. If none is: "
                f"`helm {undo} -n {self.namespace} --kube-context {self.kubectl.context}`, then try again."
            )

    async def upgrade(self) -> None:
        """Install or upgrade, and wait until pods and Jobs are ready.

        Raises ProgramFailed. When cancelled, Helm is stopped and marks the release as failed.
        """
        wait = ["--wait", "--wait-for-jobs", f"--timeout={self.timeout_s}s"]
        revision = await self.newest_revision() + 1
        labels = ["--labels", f"{_INPUTS}={self.inputs()},{_MADE_AS}={revision}"]
        context = ["--kube-context", self.kubectl.context]
        await run("helm", "upgrade", "--install", self.name, *self.arguments, *context, *wait, *labels)

    def inputs(self) -> str:
        """Return the digest of chart, values and images: the same inputs, the same release."""
        digest = hashlib.sha256(json.dumps([self.name, self.namespace, self.registry, self.tag, self.stopped]).encode())
        for path in sorted(self.chart.rglob("*")):
            if path.is_file():
                digest.update(f"\0{path.relative_to(self.chart)}\0".encode() + path.read_bytes())
        for file in self.values:
            digest.update(b"\0values\0" + file.read_bytes())
        return digest.hexdigest()[:40]

    @property
    def _where(self) -> list[str]:
        return ["--namespace", self.namespace, "--kube-context", self.kubectl.context]

    async def _history(self) -> list[Document]:
        try:
            return json.loads(await run("helm", "history", self.name, *self._where, "--output=json"))
        except ProgramFailed:  # no such release
            return []

    async def _good_revision(self) -> int | None:
        good = [int(each["revision"]) for each in await self._history() if each["status"] in {"deployed", "superseded"}]
        return max(good, default=None)

    async def _is_ready(self) -> bool:
        ours = f"app.kubernetes.io/instance={self.name}"
        found = await self.kubectl.items("deployments,statefulsets", "--namespace", self.namespace, "--selector", ours)
        return bool(found) and all(_has_all_replicas(each) for each in found)


def require_files(release: Release) -> None:
    """Raise StackError, naming it, when a file to deploy from cannot be read."""
    for file in release.values:
        if not os.access(file, os.R_OK):
            raise StackError(f"VALUES={file} cannot be read: give the path of a file of values for the chart.")


def _label(stored: Document, name: str) -> str:
    return text(stored, "metadata", "labels", name)


def _has_all_replicas(workload: Document) -> bool:
    status = part(workload, "status")
    wanted = part(workload, "spec").get("replicas", 1)
    current = status.get("observedGeneration") == part(workload, "metadata").get("generation")
    return current and status.get("readyReplicas", 0) == wanted == status.get("updatedReplicas", 0)
