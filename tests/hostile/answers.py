"""What a server says to a client, read as strictly as a proxy in between would have to."""

import re
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t\x20-\x7e]*")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t]*)")
_CHUNK = re.compile(rb"([0-9a-f]{1,8})\r\n")
_SWITCHED = 101
_LAST_INTERIM = 199
_BODILESS = {204, 304}


class NotHttp(Exception):
    """The server sent what is no HTTP answer."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Heard:
    """Everything that came on a connection: answers, frames behind an upgrade, and an unfinished rest."""

    answers: tuple[Answer, ...]
    rest: bytes
    upgraded: bool


def read_answers(data: bytes, *, bodiless: bool) -> Heard:
    """Read the answers, of which interim ones are left out; behind an upgrade the rest are frames. Raises NotHttp."""
    answers: list[Answer] = []
    while data:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            _require_beginning(data)
            break
        status, headers = _head(data[:end])
        rest = data[end + 4 :]
        if status == _SWITCHED:
            return Heard((*answers, Answer(status, headers, b"")), rest, upgraded=True)
        if status > _LAST_INTERIM:
            read = _body(rest, headers, bodiless=bodiless or status in _BODILESS)
            if read is None:
                break
            body, rest = read
            answers.append(Answer(status, headers, body))
        data = rest
    return Heard(tuple(answers), data, upgraded=False)


def _require_beginning(data: bytes) -> None:
    if not data.startswith(b"HTTP/1.1 "[: len(data)]):
        raise NotHttp(repr(data[:60]))


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise NotHttp(repr(first[:60]))
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            raise NotHttp(repr(line[:60]))
        name = header[1].decode().lower()
        if name in headers and name in ("content-length", "transfer-encoding", "content-type"):
            raise NotHttp(f"{name} twice")
        headers[name] = header[2].decode().strip()
    return int(status[1]), headers


def _body(data: bytes, headers: dict[str, str], *, bodiless: bool) -> tuple[bytes, bytes] | None:
    """Return the body and what follows, None when it is not complete."""
    if bodiless:
        return b"", data
    if headers.get("transfer-encoding") == "chunked":
        return _chunks(data)
    if "content-length" not in headers:
        raise NotHttp("an answer without a length")
    length = int(headers["content-length"])
    return None if len(data) < length else (data[:length], data[length:])


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while (size := _CHUNK.match(data)) is not None:
        length = int(size[1], 16)
        end = size.end() + length
        if len(data) < end + 2:
            return None
        if data[end : end + 2] != b"\r\n":
            raise NotHttp("a chunk without its end")
        body += data[size.end() : end]
        data = data[end + 2 :]
        if length == 0:
            return body, data
    if data and b"\r\n" in data:
        raise NotHttp(repr(data[:60]))
    return None
