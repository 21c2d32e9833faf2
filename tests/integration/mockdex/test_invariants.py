"""What engines rely on, held through random calls, faults, stale nodes and kills."""

import random
from base64 import b64decode
from shutil import copyfile

import pytest
from solders.transaction import VersionedTransaction

from integration.mockdex.exchanges import Answered, Stepped
from mockdex.blocks import slot_of

FAULTS = {
    "failure_rate": 0.2,
    "drop_rate": 0.2,
    "never_lands_rate": 0.1,
    "late_landing_rate": 0.2,
    "reply_lost_rate": 0.1,
    "stale_status_rate": 0.3,
    "valid_blocks": 12,
}


class Client:
    """Remembers what it was told and objects to every contradiction."""

    def __init__(self, directory, seed: int) -> None:
        self.random = random.Random(seed)
        self.directory = directory
        self.lives = 0
        self.exchange: Stepped
        self.height = 0
        self.sent: dict[str, tuple[str, int]] = {}
        self.ledger: list[dict] = []
        self.dead: set[str] = set()

    async def live(self, steps: int) -> None:
        self.exchange = await Stepped().open(self.directory / "0", **FAULTS)
        acts = [self.send] * 4 + [self.send_again] * 3 + [self.pass_time] * 6 + [self.look] * 4 + [self.kill]
        for _ in range(steps):
            await self.random.choice(acts)()
        await self.exchange.pass_blocks(30)
        await self.look()
        assert not self.exchange.exchange.chain.in_flight
        await self.exchange.close()

    async def send(self) -> None:
        """Send a new swap; its signature is known whatever becomes of the answer."""
        encoded = self.exchange.swap(len(self.sent), venue=self.random.choice(["raydium", "meteora"]))
        _, last_valid = self.exchange.exchange.chain.latest_blockhash()
        signature = signature_of(encoded)
        self.sent[signature] = (encoded, last_valid)
        # Some are sent later only, when little of their validity is left.
        if self.random.random() < 0.6:
            assert await self.answered(encoded) in (signature, "lost")

    async def send_again(self) -> None:
        if not self.sent:
            return
        signature = self.random.choice(list(self.sent)[-8:])
        encoded, last_valid = self.sent[signature]
        answer = await self.answered(encoded)
        if self.exchange.exchange.chain.height > last_valid:
            assert answer == "BlockhashNotFound"
        elif signature in {row["signature"] for row in await self.exchange.ask.ledger()}:
            assert answer == "AlreadyProcessed"
        else:
            assert answer in (signature, "lost")

    async def answered(self, encoded: str) -> str:
        try:
            return await self.exchange.ask.send(encoded)
        except Answered as error:
            return error.err
        except ConnectionResetError:
            return "lost"

    async def pass_time(self) -> None:
        await self.exchange.pass_ms(self.random.choice([0, 1, 50, 399, 400, 401, 1_200]))

    async def look(self) -> None:
        info = await self.exchange.ask.rpc("getEpochInfo")
        height, slot_then = info["blockHeight"], info["absoluteSlot"]
        assert height >= self.height
        self.height = height
        signatures = list(self.sent)[-200:]
        slot, statuses = await self.exchange.ask.statuses(*signatures)
        ledger = await self.exchange.ask.ledger()
        assert ledger[: len(self.ledger)] == self.ledger
        assert len({row["signature"] for row in ledger}) == len(ledger)
        assert [row["slot"] for row in ledger] == sorted(row["slot"] for row in ledger)
        self.ledger = ledger
        landed = {row["signature"]: row for row in ledger}
        assert not self.dead & set(landed)
        for signature, status in zip(signatures, statuses, strict=True):
            last_valid = self.sent[signature][1]
            if status is not None:
                assert status["slot"] == landed[signature]["slot"] <= min(slot, slot_of(last_valid))
                assert (status["err"] is None) == (landed[signature]["error"] is None)
            elif height > last_valid and slot >= slot_then:
                # Rule 3b of correctness.md: an engine may now start another attempt.
                self.dead.add(signature)

    async def kill(self) -> None:
        """Go on with the files as they are, as after a SIGKILL."""
        before = self.exchange
        self.lives += 1
        after = self.directory / str(self.lives)
        after.mkdir()
        for name in ("chain.db", "chain.db-wal"):
            copyfile(self.directory / str(self.lives - 1) / name, after / name)
        self.exchange = await Stepped().open(after, **FAULTS)
        await before.close()


def signature_of(encoded: str) -> str:
    return str(VersionedTransaction.from_bytes(b64decode(encoded)).signatures[0])


@pytest.mark.parametrize("seed", range(8))
async def test_the_chain_never_contradicts_itself(tmp_path, seed):
    """At most one landing a signature, within its validity; what may be given up never lands; heights only grow."""
    client = Client(tmp_path, seed)
    await client.live(steps=200)
    assert client.ledger
    assert client.dead
