"""`/admin/settings`: latencies and faults at run time, for whoever has the token."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response

from engine_common.telemetry.logs import log
from mockdex.tuning import Adjustment

if TYPE_CHECKING:
    from starlette.requests import Request

    from mockdex.tuning import Tuning


class AdminEndpoint:
    """`GET` and `PATCH /admin/settings`."""

    def __init__(self, tuning: Tuning, token: str) -> None:
        self._tuning = tuning
        self._authorization = f"Bearer {token}".encode()

    async def answer(self, request: Request) -> Response:
        """Return the values, after changing them if that is asked for and everything asked for is valid."""
        given = request.headers.get("authorization", "").encode()
        if not compare_digest(given, self._authorization):
            return _problem(
                401,
                "unauthorized",
                "this needs Authorization: Bearer and the admin token",
                {"www-authenticate": "Bearer"},
            )
        if request.method == "PATCH":
            try:
                changes = Adjustment.model_validate_json(await request.body()).model_dump(exclude_unset=True)
            except ValidationError as error:
                return _problem(422, "invalid_settings", _explain(error))
            self._tuning.adjust(changes)
            log.info("settings changed", **changes)
        return Response(orjson.dumps(self._tuning.values()), media_type="application/json")


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{details['loc'][0]}: {details['msg']}" if details["loc"] else details["msg"]
        for details in error.errors(include_url=False)
    )


def _problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail}
    return Response(orjson.dumps(body), status, headers, media_type="application/problem+json")
