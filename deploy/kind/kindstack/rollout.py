"""A release on its way to readiness: watched pod by pod, given up as soon as waiting makes no sense."""

import asyncio
import time
from collections.abc import Callable, Iterable

from kindstack.diagnosis import Trouble, distinct, last_words, troubles
from kindstack.documents import Document, is_ready, text
from kindstack.faults import ProgramFailed, RolloutFailed
from kindstack.kubectl import Kubectl
from kindstack.progress import Step
from kindstack.release import Release

_EVERY_S = 2.0
_TOLD_AFTER_S = 15.0
_TAIL = 20

Say = Callable[[str], None]


class Rollout:
    """One upgrade of a release, and what its pods are waiting for."""

    def __init__(self, release: Release, say: Say) -> None:
        self._release = release
        self._kubectl: Kubectl = release.kubectl
        self._say = say
        self._seen: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()
        self._old: frozenset[str] = frozenset()

    async def run(self, step: Step) -> None:
        """Upgrade and wait.

        Raises RolloutFailed with a sentence for each kind of trouble.
        """
        self._old = frozenset(map(_mark, [*await self._pods(), *await self._events()]))
        helm = asyncio.create_task(self._release.upgrade())
        try:
            while not helm.done():
                await asyncio.wait((helm,), timeout=_EVERY_S)
                await self._look(step)
            await helm
        except ProgramFailed as error:
            raise RolloutFailed(await self._explain(error.said)) from None
        finally:
            helm.cancel()
            await asyncio.wait((helm,))

    async def troubles(self) -> list[Trouble]:
        """Return what is wrong with the release's pods now, leaving out what had failed before."""
        pods = [pod for pod in await self._pods() if not self._failed_before(pod)]
        events = [event for event in await self._events() if _mark(event) not in self._old]
        return troubles(pods, events)

    def _failed_before(self, pod: Document) -> bool:
        return text(pod, "status", "phase") == "Failed" and _mark(pod) in self._old

    async def _look(self, step: Step) -> None:
        pods = [pod for pod in await self._pods() if text(pod, "status", "phase") not in {"Succeeded", "Failed"}]
        ready = sum(map(is_ready, pods))
        step.tell(f"release {self._release.name}: {ready} of {len(pods)} pods ready")
        now = time.monotonic()
        found = await self.troubles()
        owners = {trouble.owner for trouble in found}
        self._seen = {key: since for key, since in self._seen.items() if key[0] in owners}
        hopeless: list[Trouble] = []
        for trouble in found:
            key = (trouble.owner, trouble.reason)
            lasts_s = now - self._seen.setdefault(key, now)
            if trouble.patience_s is not None and lasts_s >= trouble.patience_s:
                hopeless.append(trouble)
            elif lasts_s >= _TOLD_AFTER_S and key not in self._told and trouble.reason not in {"Starting", "NotReady"}:
                self._told.add(key)
                self._say(f"         … {await self._sentence(trouble, 1)}")
        if hopeless:
            raise RolloutFailed("\n".join(await self._sentences(hopeless)))

    async def _explain(self, helm_said: str) -> str:
        words = _helm_words(helm_said)
        found = await self.troubles()
        if not found:
            return f"Helm could not deploy: {words}."
        return "\n".join([f"Helm gave up ({words}).", *await self._sentences(found)])

    async def _sentences(self, found: Iterable[Trouble]) -> list[str]:
        return [await self._sentence(trouble, number) for trouble, number in distinct(list(found))]

    async def _sentence(self, trouble: Trouble, number: int) -> str:
        more = f" ({number} pods are like this.)" if number > 1 else ""
        return trouble.sentence(await self._last_words(trouble)) + more

    async def _last_words(self, trouble: Trouble) -> str:
        if trouble.container is None or "Image" in trouble.reason or "Create" in trouble.reason:
            return ""
        name = trouble.owner.removeprefix("Pod ")
        where = ("--namespace", self._release.namespace, "--container", trouble.container, f"--tail={_TAIL}")
        for previous in (("--previous",), ()) if trouble.log_of_previous else ((),):
            try:
                words = last_words(await self._kubectl.run("logs", name, *where, *previous))
            except ProgramFailed:  # no such run, or the pod is gone
                continue
            if words:
                return words
        return ""

    async def _pods(self) -> list[Document]:
        ours = f"app.kubernetes.io/instance={self._release.name}"
        return await self._kubectl.items("pods", "--namespace", self._release.namespace, "--selector", ours)

    async def _events(self) -> list[Document]:
        warnings = "--field-selector=type=Warning"
        return await self._kubectl.items("events", "--namespace", self._release.namespace, warnings)


def _mark(document: Document) -> str:
    """Return what tells this object, in this state of failure or repetition, from any other."""
    failed = text(document, "status", "phase") == "Failed"
    return f"{text(document, 'metadata', 'uid')} {text(document, 'count')} {failed}"


def _helm_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    begin = next((index for index, line in enumerate(lines) if line.startswith("Error:")), 0)
    return " ".join(lines[begin:]).removeprefix("Error: ").rstrip(".") or "without a word"
