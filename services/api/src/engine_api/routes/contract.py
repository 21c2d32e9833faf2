"""The contract, served."""

from starlette.requests import Request
from starlette.responses import Response

from engine_api.components import State
from engine_api.contract import document
from engine_api.documents import JsonResponse


async def openapi(request: Request[State]) -> Response:
    """Show this contract."""
    return JsonResponse(document.build(request.app.routes, keys_required=request.state["doors"].keyring.required))
