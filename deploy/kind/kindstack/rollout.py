"""A release on its way to readiness: watched pod by pod, given up as soon as waiting makes no sense."""

import asyncio
import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

from kindstack.beginning import Beginning
from kindstack.diagnosis import Trouble, distinct, is_test, last_words, pod_owner, troubles
from kindstack.documents import Document, is_ready, text
from kindstack.faults import ProgramFailed, RolloutFailed
from kindstack.kubectl import Kubectl
from kindstack.progress import Step
from kindstack.release import Release

_EVERY_S = 2.0
_TOLD_AFTER_S = 15.0
_TAIL = 20
_HAVE_LOGS = {"CrashLoopBackOff", "JobFailed", "NotReady", "Waiting"}
_WAITED = re.compile(r"deadline|timed out|timeout|not ready|InProgress|status: 'Failed'|BackoffLimit", re.IGNORECASE)
_USUAL = {"Starting", "NotReady"}

Say = Callable[[str], None]


class Rollout:
    """One upgrade of a release, and what its pods are waiting for."""

    def __init__(
        self, release: Release, say: Say, clock: Callable[[], float] = time.monotonic, every_s: float = _EVERY_S
    ) -> None:
        self._release = release
        self._kubectl: Kubectl = release.kubectl
        self._say = say
        self._clock = clock
        self._every_s = every_s
        self._seen: dict[tuple[str, str, bool], float] = {}
        self._told: set[tuple[str, str]] = set()
        self._beginning = Beginning()

    async def run(self, step: Step) -> None:
        """Upgrade and wait.

        Raises RolloutFailed with a sentence for each kind of trouble.
        """
        self._beginning = Beginning(await self._pods(), await self._events())
        helm = asyncio.create_task(self._release.upgrade())
        try:
            while not helm.done():
                await asyncio.wait((helm,), timeout=self._every_s)
                with suppress(ProgramFailed):  # a cluster that does not answer is asked again: Helm is at work
                    await self._look(step)
            await helm
            step.tell(f"release {self._release.name} is ready")
        except ProgramFailed as error:
            step.tell(f"release {self._release.name}")
            raise RolloutFailed(await self._explain(error.said)) from None
        finally:
            helm.cancel()
            await asyncio.wait((helm,))

    async def _look(self, step: Step) -> None:
        pods, events = await self._pods(), self._beginning.new(await self._events())
        lasting = [pod for pod in pods if text(pod, "status", "phase") not in {"Succeeded", "Failed"}]
        step.tell(f"release {self._release.name}: {sum(map(is_ready, lasting))} of {len(lasting)} pods ready")
        relevant = self._beginning.relevant(pods)
        found = troubles(relevant, events)
        healing = {pod_owner(pod) for pod in relevant if self._beginning.may_heal(pod, events)}
        lasts_s = self._lasts_s(found, healing)
        grave = [each for each in found if each.patience_s is not None and each.owner not in healing]
        if any(lasts_s[trouble] >= (trouble.patience_s or 0) for trouble in grave):
            raise RolloutFailed("\n".join(await self._sentences(grave)))
        await self._tell([trouble for trouble in found if lasts_s[trouble] >= _TOLD_AFTER_S])

    def _lasts_s(self, found: Iterable[Trouble], healing: Collection[str]) -> dict[Trouble, float]:
        """Return for how long each trouble has lasted; one that may heal and then fails anew begins anew."""
        now = self._clock()
        keys = {trouble: (*_key(trouble), trouble.owner in healing) for trouble in found}
        owners = {trouble.owner for trouble in keys}
        self._seen = {key: since for key, since in self._seen.items() if key[0] in owners}
        return {trouble: now - self._seen.setdefault(key, now) for trouble, key in keys.items()}

    async def _tell(self, found: Iterable[Trouble]) -> None:
        """Say, once each, what already takes remarkably long."""
        new = [each for each in found if _key(each) not in self._told and each.reason not in _USUAL]
        self._told.update(map(_key, new))
        for sentence in await self._sentences(new):
            self._say(f"         … {sentence}")

    async def _explain(self, helm_said: str) -> str:
        words = _helm_words(helm_said)
        found = await self._troubles() if _WAITED.search(words) else []
        if not found:
            files = ", ".join(map(str, self._release.values))
            return f"Helm could not deploy{files and f' (values of {files})'}: {words}."
        return "\n".join([f"Not everything is ready after {self._release.timeout_s} s:", *await self._sentences(found)])

    async def _troubles(self) -> list[Trouble]:
        """Return what is wrong with the release's pods now; nothing where the cluster does not say."""
        try:
            pods, events = await self._pods(), await self._events()
        except ProgramFailed:
            return []
        return troubles(self._beginning.relevant(pods), self._beginning.new(events))

    async def _sentences(self, found: Iterable[Trouble]) -> list[str]:
        return [await self._sentence(trouble, number) for trouble, number in distinct(list(found))]

    async def _sentence(self, trouble: Trouble, number: int) -> str:
        more = f" ({number - 1} more of its kind)" if number > 1 else ""
        return trouble.sentence(await self._last_words(trouble)) + more

    async def _last_words(self, trouble: Trouble) -> str:
        if trouble.container is None or trouble.reason not in _HAVE_LOGS:
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
        pods = await self._kubectl.items("pods", "--namespace", self._release.namespace, "--selector", ours)
        return [pod for pod in pods if not is_test(pod)]

    async def _events(self) -> list[Document]:
        warnings = "--field-selector=type=Warning"
        return await self._kubectl.items("events", "--namespace", self._release.namespace, warnings)


def _key(trouble: Trouble) -> tuple[str, str]:
    return trouble.owner, trouble.reason


def _helm_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    begin = next((index for index, line in enumerate(lines) if line.startswith("Error:")), 0)
    return " ".join(lines[begin:]).removeprefix("Error: ").rstrip(".") or "without a word"
