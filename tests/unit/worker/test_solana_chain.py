"""The chain behind Solana's methods: what is asked, and how the answers are read; in virtual time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from engine_common.errors import Unreachable
from engine_worker.dex.json_rpc import RpcRefusal
from engine_worker.dex.solana import SolanaChain
from engine_worker.ports import Height, Landing, SendAnswer
from support.virtual_time import VirtualClock, in_virtual_time

OWNER, MINT = "owner", "mint"


class Rpc:
    """Gives the prepared answers, one after another, the last one for ever; each takes `takes_s`."""

    def __init__(self, *answers: Any, takes_s: float = 0.0) -> None:
        self.answers = list(answers)
        self.takes_s = takes_s
        self.calls: list[tuple[str, Sequence[Any]]] = []

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        self.calls.append((method, params))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(self.takes_s)
        if isinstance(answer, Exception):
            raise answer
        return answer(params) if callable(answer) else answer


def chain(rpc: Rpc) -> SolanaChain:
    return SolanaChain(rpc, VirtualClock())


def blockhash(name: str, height: int = 1) -> dict[str, Any]:
    return {"context": {"slot": 1}, "value": {"blockhash": name, "lastValidBlockHeight": height}}


@in_virtual_time
async def test_orders_of_the_same_second_share_a_blockhash() -> None:
    """However many ask at once; after a second it is asked for anew."""
    rpc = Rpc(blockhash("first", 7), blockhash("second", 9), takes_s=0.1)
    asked = chain(rpc)
    found = await asyncio.gather(*(asked.latest_blockhash() for _ in range(100)))
    assert {(each.hash, each.last_valid_block_height) for each in found} == {("first", 7)}
    assert len(rpc.calls) == 1
    await asyncio.sleep(1)
    assert (await asked.latest_blockhash()).hash == "second"


@in_virtual_time
async def test_a_chain_that_hangs_fails_everybody_who_waits_at_the_same_time() -> None:
    """Not one after the other: the last of a hundred would wait for minutes, far beyond its patience."""
    asked = chain(Rpc(Unreachable("no answer"), takes_s=5))
    found = await asyncio.gather(*(asked.latest_blockhash() for _ in range(100)), return_exceptions=True)
    assert all(isinstance(each, Unreachable) for each in found)
    assert VirtualClock().monotonic() <= 10


@in_virtual_time
async def test_a_failure_to_get_a_blockhash_is_not_kept() -> None:
    """The next order asks anew, and one that is let go does not take the answer from the others."""
    rpc = Rpc(Unreachable("no answer"), blockhash("later"), takes_s=0.5)
    asked = chain(rpc)
    with pytest.raises(Unreachable):
        await asked.latest_blockhash()
    let_go, kept = (asyncio.create_task(asked.latest_blockhash()) for _ in range(2))
    await asyncio.sleep(0.1)
    let_go.cancel()
    assert (await kept).hash == "later"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("signature", SendAnswer.ACCEPTED),
        (RpcRefusal(-32002, "no", {"err": "AlreadyProcessed"}), SendAnswer.ALREADY_PROCESSED),
        (RpcRefusal(-32002, "no", {"err": "BlockhashNotFound"}), SendAnswer.REFUSED),
        (RpcRefusal(-32003, "no", None), SendAnswer.REFUSED),
    ],
)
@in_virtual_time
async def test_what_a_node_says_to_a_transaction_is_one_of_three(answer: Any, expected: SendAnswer) -> None:
    """The bytes go as base64, and preflight is skipped: its simulation decides nothing."""
    rpc = Rpc(answer)
    assert await chain(rpc).send(b"bytes") is expected
    ((method, params),) = rpc.calls
    assert (method, params[0]) == ("sendTransaction", "Ynl0ZXM=")
    assert params[1]["encoding"] == "base64"


@in_virtual_time
async def test_a_send_without_an_answer_is_unreachable() -> None:
    """The transaction may have arrived."""
    with pytest.raises(Unreachable):
        await chain(Rpc(Unreachable("no answer"))).send(b"bytes")


@in_virtual_time
async def test_statuses_are_asked_in_chunks_and_are_as_old_as_the_oldest_answer() -> None:
    """A node takes 256 signatures; a null counts only from the slot at which all of them were true."""
    slots = iter([30, 20, 40])

    def known(params: Sequence[Any]) -> dict[str, Any]:
        value = [{"slot": 5, "err": None, "confirmationStatus": "finalized"} for _ in params[0]]
        return {"context": {"slot": next(slots)}, "value": value}

    rpc = Rpc(known)
    found = await chain(rpc).statuses([str(i) for i in range(600)], search_history=True)
    assert [len(params[0]) for _, params in rpc.calls] == [256, 256, 88]
    assert {params[1]["searchTransactionHistory"] for _, params in rpc.calls} == {True}
    assert found.slot == 20
    assert found.landings == [Landing(5, None)] * 600


@pytest.mark.parametrize(("level", "landed"), [("processed", False), ("confirmed", True), ("finalized", True)])
@in_virtual_time
async def test_a_transaction_has_landed_at_commitment_confirmed_or_above(level: str, landed: bool) -> None:
    """Success and error alike; below that it may still be undone, but it is not unknown either: only null is."""
    for error in (None, {"InstructionError": [0, {"Custom": 6001}]}):
        status = {"slot": 5, "err": error, "confirmationStatus": level}
        found = await chain(Rpc({"context": {"slot": 9}, "value": [status, None]})).statuses(
            ["a", "b"], search_history=False
        )
        assert found.landings == [Landing(5, error, confirmed=landed), None]


@in_virtual_time
async def test_the_height_is_finalized_and_comes_with_its_slot() -> None:
    """Both in one answer."""
    rpc = Rpc({"absoluteSlot": 250, "blockHeight": 150, "epoch": 0})
    assert await chain(rpc).height() == Height(slot=250, block_height=150)
    assert rpc.calls == [("getEpochInfo", [{"commitment": "finalized"}])]


def transaction(*balances: tuple[str, str, int, int]) -> dict[str, Any]:
    def side(index: int) -> list[dict[str, Any]]:
        return [{"owner": b[0], "mint": b[1], "uiTokenAmount": {"amount": str(b[index])}} for b in balances]

    return {"slot": 5, "meta": {"err": None, "fee": 5_000, "preTokenBalances": side(2), "postTokenBalances": side(3)}}


@in_virtual_time
async def test_what_a_swap_paid_is_the_change_of_the_owners_balance_of_the_mint() -> None:
    """Not of another owner, and not of another mint."""
    landed = transaction((OWNER, MINT, 100, 1_095), (OWNER, "other", 9, 1), ("pool", MINT, 5_000, 4_005))
    assert await chain(Rpc(landed)).received_amount("signature", MINT, OWNER) == 995


@in_virtual_time
async def test_a_first_swap_into_a_mint_has_no_balance_before() -> None:
    """Solana leaves out an account that did not exist."""
    landed = transaction((OWNER, MINT, 0, 995))
    landed["meta"]["preTokenBalances"] = []
    assert await chain(Rpc(landed)).received_amount("signature", MINT, OWNER) == 995


@pytest.mark.parametrize("answer", [None, RpcRefusal(-32_004, "not yet", None), Unreachable("no answer")])
@in_virtual_time
async def test_a_transaction_that_the_node_does_not_show_yet_is_asked_for_again(answer: Any) -> None:
    """Nothing is confirmed on a guess of what it paid."""
    with pytest.raises(Unreachable):
        await chain(Rpc(answer)).received_amount("signature", MINT, OWNER)


@in_virtual_time
async def test_a_landed_transaction_that_the_node_has_pruned_is_read_from_the_archive() -> None:
    """The archive is asked for nothing else, and for nothing that the node shows."""
    node, archive = Rpc(None), Rpc(transaction((OWNER, MINT, 100, 1_095)))
    asked = SolanaChain(node, VirtualClock(), archive)
    assert await asked.received_amount("signature", MINT, OWNER) == 995
    assert [method for method, _ in node.calls + archive.calls] == ["getTransaction"] * 2
    shown = SolanaChain(Rpc(transaction((OWNER, MINT, 0, 7))), VirtualClock(), archive)
    assert await shown.received_amount("signature", MINT, OWNER) == 7
    assert len(archive.calls) == 1


@in_virtual_time
async def test_a_transaction_that_the_archive_does_not_show_either_is_waited_for() -> None:
    """It has landed: some day a node shows it."""
    with pytest.raises(Unreachable):
        await SolanaChain(Rpc(None), VirtualClock(), Rpc(None)).received_amount("signature", MINT, OWNER)


@pytest.mark.parametrize("answer", [None, 5, {}, {"value": None}, {"context": {}}, {"value": [{"slot": 1}]}])
@in_virtual_time
async def test_an_answer_of_another_form_is_no_answer(answer: Any) -> None:
    """A node's bug is waited for like a node that is away; it spends nobody's attempt."""
    asked = chain(Rpc(answer))
    with pytest.raises(Unreachable):
        await asked.latest_blockhash()
    with pytest.raises(Unreachable):
        await asked.height()
    with pytest.raises(Unreachable):
        await asked.statuses(["a"], search_history=False)
    with pytest.raises(Unreachable):
        await asked.received_amount("a", "mint", OWNER)
