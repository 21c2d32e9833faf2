"""Open sockets: not too many an account, and none that outlives its key."""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from engine_api.access.credentials import unauthorized
from engine_api.access.keys import Caller, Keyring
from engine_api.problems import TOO_MANY_SOCKETS, Refusal

Leave = Callable[[], object]


class Presence:
    """Knows which sockets of the process are open, by account and by key."""

    def __init__(self, keyring: Keyring, most_per_account: int) -> None:
        self._keyring = keyring
        self._most = most_per_account
        self._count: Counter[str] = Counter()
        self._leaves: defaultdict[bytes, set[Leave]] = defaultdict(set)

    @contextmanager
    def entered(self, caller: Caller, leave: Leave) -> Generator[None]:
        """Count the caller's socket as open; `leave` is called once if its key is revoked meanwhile. Raises Refusal."""
        if not self._keyring.admits(caller):
            raise unauthorized("the API key was revoked")
        if self._count[caller.account] >= self._most:
            raise Refusal(TOO_MANY_SOCKETS, f"{self._most} sockets of the account are open here already")
        self._count[caller.account] += 1
        if caller.key is not None:
            self._leaves[caller.key].add(leave)
        try:
            yield
        finally:
            self._count[caller.account] -= 1
            if not self._count[caller.account]:
                del self._count[caller.account]
            self._forget(caller.key, leave)

    def _forget(self, key: bytes | None, leave: Leave) -> None:
        if key is not None and key in self._leaves:
            self._leaves[key].discard(leave)
            if not self._leaves[key]:
                del self._leaves[key]

    def expel(self, keys: Iterable[bytes]) -> None:
        """Make all sockets leave that were opened with one of these keys."""
        for key in keys:
            for leave in self._leaves.pop(key, ()):
                leave()
