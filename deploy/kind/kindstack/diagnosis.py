"""Why pods are not ready, read from what the cluster says of them: a sentence each, with what to do."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kindstack.documents import Document, condition, is_ready, part, parts, text

_HEALS_NOT_AFTER_S = {
    "NoImage": 40,
    "CreateContainerConfigError": 30,
    "CreateContainerError": 45,
    "RunContainerError": 45,
    "CrashLoopBackOff": 90,
    "Refused": 30,
}
_LONGEST_QUOTE = 240
_WHAT_TO_DO = (
    ("password authentication failed", "put the password back into the Secret that the volume was made with"),
    ("WRONGPASS", "put the password back into the Secret that Valkey was started with, or restart Valkey"),
)
_NO_LOG = "unable to retrieve container logs"  # printed by kubectl in place of a log that is gone


@dataclass(frozen=True)
class Trouble:
    """A pod that is not ready, or cannot even be made."""

    owner: str
    """the pod, or what should have made it"""
    reason: str
    container: str | None
    what: str
    remedy: str

    @property
    def patience_s(self) -> float | None:
        """Seconds after which nobody should wait any longer; None: it may heal until Helm's own time-out."""
        return _HEALS_NOT_AFTER_S.get(self.reason)

    @property
    def log_of_previous(self) -> bool:
        """Whether the container's last words are those of a run that has ended."""
        return self.reason in {"CrashLoopBackOff", "JobFailed"}

    def sentence(self, last_words: str = "") -> str:
        """Say it: who, what, its last words, what to do."""
        where = f" (container {self.container})" if self.container else ""
        said = f'; its log ends with "{last_words}"' if last_words else ""
        remedy = next((remedy for sign, remedy in _WHAT_TO_DO if sign in last_words), self.remedy)
        return f"{self.owner}{where} {self.what}{said}: {remedy}."


def troubles(pods: Iterable[Document], events: Iterable[Document]) -> list[Trouble]:
    """Return what is wrong: with pods that are not ready, and with pods that were refused."""
    heard = list(events)
    found = [trouble for pod in _without_repeated(pods) if (trouble := _trouble_of(pod, heard)) is not None]
    return [*_refusals(heard), *found]


def distinct(found: Sequence[Trouble]) -> list[tuple[Trouble, int]]:
    """Return one of each kind of trouble with the number of pods that have it."""
    kinds: dict[tuple[str, ...], list[Trouble]] = {}
    for trouble in found:
        whose = "" if trouble.reason == "NoImage" else _workload(trouble.owner)
        kinds.setdefault((trouble.reason, trouble.remedy, whose), []).append(trouble)
    return [(same[0], len(same)) for same in kinds.values()]


def last_words(log: str) -> str:
    """Return the last thing a log says: the message where it is JSON, the line otherwise."""
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith(_NO_LOG)]
    if not lines:
        return ""
    line = lines[-1].strip()
    try:
        entry = json.loads(line)
    except ValueError:
        return _short(line)
    if not isinstance(entry, dict):
        return _short(line)
    told = cast("dict[str, Any]", entry)
    details = [str(told[key]) for key in ("event", "message", "reason", "error", "detail") if told.get(key)]
    return _short(": ".join(dict.fromkeys(details)) or line)


def _without_repeated(pods: Iterable[Document]) -> list[Document]:
    """Leave out the pods of a Job that has tried again: its newest one says how it stands."""
    found = sorted(pods, key=lambda pod: text(pod, "metadata", "creationTimestamp"))
    newest = {job_of(pod): pod for pod in found}
    return [pod for pod in found if not job_of(pod) or newest[job_of(pod)] is pod]


def job_of(pod: Document) -> str:
    """Return the uid of the Job that a pod belongs to, an empty text where it belongs to none."""
    owners = parts(pod, "metadata", "ownerReferences")
    return next((text(owner, "uid") for owner in owners if owner.get("kind") == "Job"), "")


def is_test(pod: Document) -> bool:
    """Tell whether `helm test` started the pod: it says nothing about a rollout."""
    return text(pod, "metadata", "labels", "app.kubernetes.io/component") == "test"


def pod_owner(pod: Document) -> str:
    """Return how a pod stands as the owner of a trouble."""
    return f"Pod {_name(pod)}"


def _trouble_of(pod: Document, events: Sequence[Document]) -> Trouble | None:
    if text(pod, "metadata", "deletionTimestamp") or text(pod, "status", "phase") == "Succeeded" or is_ready(pod):
        return None
    owner = pod_owner(pod)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unscheduled(owner, text(scheduled, "message"))
    if text(pod, "status", "reason") == "Evicted":
        return Trouble(owner, "Evicted", None, f"was evicted ({_short(text(pod, 'status', 'message'))})", _ROOM)
    if text(pod, "status", "phase") == "Failed" and not job_of(pod):
        return None  # a node that shut down leaves such, long replaced, and a failed `helm test`
    containers = [*parts(pod, "status", "initContainerStatuses"), *parts(pod, "status", "containerStatuses")]
    for container in containers:
        trouble = _trouble_of_container(owner, pod, container)
        if trouble is not None:
            return trouble
    return _slow(owner, pod, containers, events)


_ROOM = "give the nodes more room, or lower `resources.requests` in the values"


def _unscheduled(owner: str, message: str) -> Trouble:
    reason = _short(re.split(r"\.? (preemption:|no new claims)", message)[0].rstrip("."))
    if "PersistentVolumeClaim" in message or "volume" in message:
        remedy = "see `kubectl get pvc`: the cluster needs a storage class that can make or reach the volume"
    elif "Insufficient" in message or "Too many pods" in message:
        remedy = "lower `resources.requests` in the values, or add a node"
    else:
        remedy = "compare `nodeSelector`, `affinity` and `tolerations` in the values with the nodes' labels and taints"
    return Trouble(owner, "Unschedulable", None, f"fits on no node ({reason})", remedy)


def _trouble_of_container(owner: str, pod: Document, container: Document) -> Trouble | None:
    name, image = text(container, "name"), text(container, "image")
    reason = text(container, "state", "waiting", "reason")
    message = _short(text(container, "state", "waiting", "message"))
    if reason in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}:
        why = _why_no_image(text(container, "state", "waiting", "message"))
        return Trouble(owner, "NoImage", name, f"cannot get the image {image} ({why})", _image_remedy(image))
    if reason == "CreateContainerConfigError":
        remedy = "create it, or name another one in the values"
        return Trouble(owner, reason, name, f"lacks what it is configured with ({message})", remedy)
    if reason in {"CreateContainerError", "RunContainerError"}:
        return Trouble(owner, reason, name, f"cannot be started ({message})", "see `kubectl describe pod`")
    if reason == "CrashLoopBackOff" or part(container, "state", "terminated").get("exitCode"):
        return _crashed(owner, pod, container)
    return None


def _crashed(owner: str, pod: Document, container: Document) -> Trouble:
    name = text(container, "name")
    reason = "JobFailed" if job_of(pod) and text(pod, "status", "phase") == "Failed" else "CrashLoopBackOff"
    ended = part(container, "state", "terminated") or part(container, "lastState", "terminated")
    if ended.get("reason") == "OOMKilled":
        remedy = "raise `resources.limits.memory` in the values"
        return Trouble(owner, reason, name, "was killed for using more memory than its limit", remedy)
    what = f"stops with exit code {ended.get('exitCode', 'unknown')}"
    return Trouble(owner, reason, name, what, "mend what the log says, then deploy again")


def _slow(owner: str, pod: Document, containers: Sequence[Document], events: Sequence[Document]) -> Trouble:
    for container in containers:
        if part(container, "state", "running") and not container.get("ready"):
            name = text(container, "name")
            if name in {each["name"] for each in parts(pod, "spec", "initContainers")}:
                return Trouble(owner, "Waiting", name, "is still waiting", "see to what it waits for")
            probes = [text(event, "message") for event in events if _is_probe_of(event, pod)]
            because = f" ({_short(probes[-1])})" if probes else ""
            return Trouble(
                owner, "NotReady", name, f"runs but is not ready{because}", "see its log with `kubectl logs`"
            )
    return Trouble(owner, "Starting", None, "is still starting", "see `kubectl describe pod`")


def _is_probe_of(event: Document, pod: Document) -> bool:
    return text(event, "reason") == "Unhealthy" and text(event, "involvedObject", "name") == _name(pod)


def _name(pod: Document) -> str:
    return text(pod, "metadata", "name")


def _refusals(events: Iterable[Document]) -> Iterator[Trouble]:
    """Yield what says that pods could not be made at all: by Pod Security, a quota, an admission webhook."""
    for event in events:
        if event.get("reason") == "FailedCreate":
            owner = f"{text(event, 'involvedObject', 'kind')} {text(event, 'involvedObject', 'name')}"
            what = f"may not make its pods ({_short(text(event, 'message'))})"
            yield Trouble(
                owner, "Refused", None, what, "satisfy the rule that it names, or change the namespace's rules"
            )


def _why_no_image(message: str) -> str:
    for sign, meaning in (
        ("not found", "the registry does not have it"),
        ("authorization failed", "it is not there, or credentials are needed"),
        ("unauthorized", "credentials are needed"),
        ("InvalidImageName", "that is no name of an image"),
        ("couldn't parse image", "that is no name of an image"),
    ):
        if sign in message:
            return meaning
    return _short(message.rpartition(": ")[2]) or "no reason given"


def _image_remedy(image: str) -> str:
    if "order-engine-" in image.rpartition("/")[2]:
        return (
            "check REGISTRY and TAG, and push the image with `make images push`; on kind, run `make kind-up` without "
            "TAG, NAMESPACE and RELEASE, which loads the images, then deploy again without TAG"
        )
    return "see that the nodes reach its registry, or name another image in the values"


def _workload(owner: str) -> str:
    """Return a pod's name without what differs between pods of one workload."""
    return re.sub(r"(-[a-z0-9]{8,10})?-([a-z0-9]{5}|\d+)$", "", owner)


def _short(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}…"
