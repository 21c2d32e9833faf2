"""What a rollout finds when it begins, and how much of that still says something about it."""

from collections.abc import Iterable, Sequence

from kindstack.diagnosis import job_of
from kindstack.documents import Document, parts, text

_TRIES_NOT = "Error: ImagePullBackOff"  # the kubelet says so while it waits to try again


class Beginning:
    """The pods and events of a release at the moment when it begins to change."""

    def __init__(self, pods: Iterable[Document] = (), events: Iterable[Document] = ()) -> None:
        self._restarts = {_uid(pod): _restarts(pod) for pod in pods}
        self._events = frozenset(map(_mark, events))

    def relevant(self, pods: Sequence[Document]) -> list[Document]:
        """Leave out the pods that others have replaced, or that an earlier revision's Job left behind."""
        replaced = {_component(pod) for pod in pods if _uid(pod) not in self._restarts}
        return [
            pod for pod in pods if _uid(pod) not in self._restarts or not (job_of(pod) or _component(pod) in replaced)
        ]

    def new(self, events: Iterable[Document]) -> list[Document]:
        """Leave out the events, and the repetitions of events, that were there."""
        return [event for event in events if _mark(event) not in self._events]

    def may_heal(self, pod: Document, new_events: Iterable[Document]) -> bool:
        """Tell whether a pod was there and has not failed since.

        What it lacks may be there by now, and the kubelet waits up to five minutes before it tries again.
        """
        before = self._restarts.get(_uid(pod))
        return before is not None and _restarts(pod) <= before and not any(_failed(pod, each) for each in new_events)


def _failed(pod: Document, event: Document) -> bool:
    is_about_it = text(event, "involvedObject", "uid") == _uid(pod)
    return is_about_it and text(event, "reason") == "Failed" and text(event, "message") != _TRIES_NOT


def _restarts(pod: Document) -> int:
    states = [*parts(pod, "status", "initContainerStatuses"), *parts(pod, "status", "containerStatuses")]
    return sum(int(state.get("restartCount", 0)) for state in states)


def _component(pod: Document) -> str:
    return text(pod, "metadata", "labels", "app.kubernetes.io/component")


def _uid(pod: Document) -> str:
    return text(pod, "metadata", "uid")


def _mark(event: Document) -> str:
    """Return what tells this repetition of an event from any other."""
    return f"{text(event, 'metadata', 'uid')} {text(event, 'count')}"
