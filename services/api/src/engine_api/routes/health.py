"""Probes: alive, ready, and how the dependencies are."""

from starlette.requests import Request
from starlette.responses import Response

from engine_api import __version__
from engine_api.components import State
from engine_api.documents import JsonResponse


async def livez(_request: Request[State]) -> Response:
    """Answer as long as the event loop runs; no dependency is asked."""
    return JsonResponse({"status": "up"})


async def readyz(request: Request[State]) -> Response:
    """Say whether orders can be taken: not without PostgreSQL, but without Redis."""
    states = await request.state["health"].everything()
    ready = states["postgres"] == "up"
    return JsonResponse({"status": "up" if ready else "down", **states}, 200 if ready else 503)


async def health(request: Request[State]) -> Response:
    """Say how everything is; always 200, as this process is there to say it."""
    states = await request.state["health"].everything()
    return JsonResponse({"status": "up", "version": __version__, **states})
