"""One cluster, by kubectl: every call names its context, so that no other cluster can be meant."""

import json

from kindstack.documents import Document, parts
from kindstack.faults import ContextUnusable, ProgramFailed
from kindstack.programs import run


class Kubectl:
    """Calls of kubectl on one context."""

    def __init__(self, context: str) -> None:
        self.context = context

    async def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Call kubectl and return what it printed.

        Raises ProgramFailed.
        """
        return await run("kubectl", "--context", self.context, *arguments, stdin=stdin)

    async def items(self, kinds: str, *arguments: str) -> list[Document]:
        """Return the objects of some kinds."""
        return parts(json.loads(await self.run("get", kinds, "--output=json", *arguments)), "items")

    async def one(self, kind: str, name: str, *arguments: str) -> Document | None:
        """Return an object, None where there is none."""
        text = await self.run("get", kind, name, "--ignore-not-found", "--output=json", *arguments)
        return json.loads(text) if text.strip() else None

    async def apply(self, manifests: str) -> None:
        """Bring objects to a state, server-side."""
        await self.run("apply", "--server-side", "--filename=-", stdin=manifests)

    async def create(self, manifest: Document) -> None:
        """Create an object, whose content never stands in a command line."""
        await self.run("create", "--filename=-", stdin=json.dumps(manifest))

    async def require_answer(self) -> str:
        """Return the address of the cluster's API.

        Raises ContextUnusable when the cluster does not answer.
        """
        try:
            await self.run("get", "--raw", "/readyz", "--request-timeout=10s")
            shown = await run("kubectl", "config", "view", "--minify", "--context", self.context, "--output=json")
        except ProgramFailed as error:
            last = error.said.splitlines()[-1].rstrip(".") if error.said else "no reason given"
            raise ContextUnusable(
                f"The cluster of context {self.context} does not answer ({last}): "
                "start it, or choose another with `kubectl config use-context NAME`."
            ) from None
        return str(json.loads(shown)["clusters"][0]["cluster"]["server"])


async def contexts() -> list[str]:
    """Return the names of all contexts in the kubeconfig."""
    return (await run("kubectl", "config", "get-contexts", "--output=name")).split()


async def current_context() -> str:
    """Return the context that kubectl uses.

    Raises ContextUnusable when there is none.
    """
    try:
        return (await run("kubectl", "config", "current-context")).strip()
    except ProgramFailed:
        known = await contexts()
        choice = f"`kubectl config use-context NAME` (there are {', '.join(known)})" if known else "`make kind-up`"
        raise ContextUnusable(f"kubectl has no current context, so no cluster to deploy to: {choice}.") from None
