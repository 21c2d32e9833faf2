from mockdex.landings import _DETAILED, Landing, Landings, status_json


def landing(number, slot):
    return Landing(number, f"signature {number}", slot, 0, None, "1", b"")


def test_memory_is_bounded_by_time_and_by_number():
    """50 landings a slot for 600 slots: statuses of the last 182 slots stay, details of the last 20,000 landings."""
    landings = Landings(kept_slots=182)
    for number in range(30_000):
        slot = 1_000 + number // 50
        landings.add(landing(number, slot))
        landings.forget(slot)
    assert len(landings._statuses) == len(landings._order) == 183 * 50
    assert len(landings._details) == _DETAILED
    assert landings.status("signature 29999") == (1_599, None)
    assert landings.status("signature 20849") is None
    assert landings.details("signature 9999") is None
    assert landings.details("signature 10000") == landing(10_000, 1_200)


def test_statuses_read_as_solanas_do():
    assert status_json(5, 6001) == {
        "slot": 5,
        "confirmations": None,
        "err": {"InstructionError": [0, {"Custom": 6001}]},
        "status": {"Err": {"InstructionError": [0, {"Custom": 6001}]}},
        "confirmationStatus": "finalized",
    }
