"""What must be true of every answer, whatever it answers."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from hostile.answers import Answer, NotHttp, read_answers
from hostile.case import Case, Ending
from hostile.frames import NotAFrame, read_frames
from hostile.wire import Spoken

_PROBLEM = "application/problem+json"
_VALID_CLOSE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, *range(3000, 5000)})
_OUR_FAULT = 1011
_FIRST_ERROR = 400
_SERVER_ERROR = 500
_OVERLOADED = 503
_NOT_IMPLEMENTED = 501
_UPGRADE_REQUIRED = 426


class Oracle:
    """Judges what was heard on a connection: by the document's schema of problems and the rules of the protocols."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
        self._problem = jsonschema_rs.validator_for(schema)

    def judge(self, case: Case, spoken: Spoken) -> tuple[list[str], list[str]]:
        """Return what was answered, in a few words each, and what is wrong with it."""
        try:
            heard = read_answers(spoken.data, bodiless=case.bodiless)
            frames, rest = read_frames(heard.rest) if heard.upgraded else ([], heard.rest)
        except (NotHttp, NotAFrame) as error:
            return [], [f"{type(error).__name__}: {error}"]
        said = [str(answer.status) for answer in heard.answers]
        said += [f"close {one.close_code}" for one in frames if one.close_code is not None]
        wrong = [fault for answer in heard.answers for fault in self._faults(answer, bodiless=case.bodiless)]
        for one in frames:
            code = one.close_code
            if code is not None and (code not in _VALID_CLOSE or code == _OUR_FAULT):
                wrong.append(f"closed with {code}")
        if spoken.ended and rest and not spoken.torn:
            wrong.append(f"an answer was cut off: {rest[:60]!r}")
        if case.ending is Ending.WAIT and not said and not spoken.torn:
            wrong.append("closed without an answer" if spoken.ended else "no answer")
        return said or ["closed" if spoken.ended else "nothing"], wrong

    def _faults(self, answer: Answer, *, bodiless: bool) -> list[str]:
        if answer.status < _FIRST_ERROR or bodiless:
            return []
        faults: list[str] = []
        if answer.status >= _SERVER_ERROR and not _is_refusal(answer):
            faults.append(f"answered {answer.status}: {answer.body[:200]!r}")
        if answer.status == _UPGRADE_REQUIRED and "upgrade" not in answer.headers:
            faults.append("426 does not say which protocol is required")
        if answer.headers.get("content-type") != _PROBLEM:
            return [*faults, f"{answer.status} is no problem document: {answer.body[:100]!r}"]
        try:
            document = json.loads(answer.body)
        except ValueError as error:
            return [*faults, f"not JSON: {error}"]
        if not self._problem.is_valid(document) or document["status"] != answer.status:
            faults.append(f"an invalid problem document: {answer.body[:200]!r}")
        return faults


def _is_refusal(answer: Answer) -> bool:
    """Tell whether the status, that of a server's error, is the right one for what the client sent."""
    if answer.status == _NOT_IMPLEMENTED:  # an unknown transfer coding, behind which nothing can be read any more
        return answer.headers.get("connection") == "close" and b'"code":"not_implemented"' in answer.body
    return answer.status == _OVERLOADED and "retry-after" in answer.headers
