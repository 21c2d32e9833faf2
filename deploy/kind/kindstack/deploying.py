"""The Helm part: namespace, Secret and release on one context, whatever cluster that is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine_common import __version__
from kindstack import credentials
from kindstack.faults import RolloutFailed
from kindstack.images import DEVELOPMENT
from kindstack.kubectl import Kubectl, current_context
from kindstack.progress import Steps
from kindstack.release import Release, require_files
from kindstack.rollout import Rollout
from kindstack.settings import DeploySettings

_RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


def describe(settings: DeploySettings, kubectl: Kubectl, tag: str, values: Sequence[Path] = ()) -> Release:
    """Return the release that the settings ask for, with these images; its own values are added to those given."""
    own = [settings.values] if settings.values and settings.values.resolve() not in values else []
    return Release(
        kubectl=kubectl,
        name=settings.release,
        namespace=settings.namespace,
        values=(*values, *own),
        registry=settings.registry,
        tag=tag,
        timeout_s=settings.deploy_timeout_s,
    )


async def deploy_to_current_context(
    settings: DeploySettings, steps: Steps, kind_context: str, kind_values: Path
) -> None:
    """Deploy to the cluster that kubectl points at, after saying which one that is.

    On the cluster of `up`, its values come first. Raises StackError in one of its forms.
    """
    kubectl = Kubectl(await current_context())
    server = await kubectl.require_answer()
    on_kind = kubectl.context == kind_context
    values = [kind_values] if on_kind else []
    tag = settings.tag or await _development_tag(describe(settings, kubectl, "", values), on_kind=on_kind)
    described = describe(settings, kubectl, tag or __version__, values)
    release = replace(described, stopped=settings.stopped)
    require_files(release)
    steps.say(
        f"deploying to context {kubectl.context} ({server}): release {release.name} in namespace {release.namespace}, "
        f"images {release.image('order-engine-*')}, values {_named(release.values)}"
        f"{', without pods of api and worker' if release.stopped else ''}"
    )
    await deploy(release, steps)


async def deploy(release: Release, steps: Steps) -> None:
    """Make namespace and Secret when missing, bring the release to its state, wait until it is ready.

    Raises StackError in one of its forms.
    """
    with steps.step(f"namespace {release.namespace} and Secret {credentials.NAME}") as step:
        await _ensure_namespace(release.kubectl, release.namespace)
        await release.require_idle()
        if await credentials.ensure(release.kubectl, release.namespace, release.name):
            step.tell(f"Secret {credentials.NAME} made in namespace {release.namespace}, with random values")
    with steps.step(f"release {release.name}") as step:
        before = await release.newest_revision()
        try:
            await Rollout(release, steps.say).run(step)
        except RolloutFailed as error:
            raise RolloutFailed(f"{error}\n{await release.way_back(before)}") from None


async def _development_tag(release: Release, *, on_kind: bool) -> str | None:
    """Return the development tag that the release has, or that the nodes of `make kind-up` have; None: neither."""
    deployed = await release.deployed_tag()
    if deployed is not None:
        return deployed if deployed.startswith(DEVELOPMENT) else None
    # First deployment of this release: the nodes lack images of the version. They have only what `make kind-up` loaded.
    return await release.newest_development_tag() if on_kind and not release.registry else None


def _named(values: Sequence[Path]) -> str:
    return ", then ".join(map(str, values)) or "of the chart alone"


async def _ensure_namespace(kubectl: Kubectl, name: str) -> None:
    if await kubectl.one("namespace", name) is None:
        labels = {"app.kubernetes.io/part-of": "order-engine", **_RESTRICTED}
        await kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
