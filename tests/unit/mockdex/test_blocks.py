from mockdex.blocks import Blockhashes, ChainTime, slot_of


def test_chain_time_goes_on_from_what_is_stored_and_labels_moments_with_blocks():
    now = 50_000
    time = ChainTime(10, 4_000, 400, clock=lambda: now)
    assert time.now() == 4_000
    now += 1_000
    assert time.now() == 5_000
    assert [time.height_at(ms) for ms in (4_000, 4_399, 4_400, 5_000)] == [10, 10, 11, 12]
    assert [time.start_of(height) for height in (10, 11, 12)] == [4_000, 4_400, 4_800]
    assert time.height_at(time.start_of(99)) == 99
    assert time.height_at(time.start_of(99) - 1) == 98


def test_slots_are_ahead_of_heights():
    assert slot_of(1) == 1_001


def test_blockhashes_are_known_for_as_long_as_they_are_valid():
    hashes = Blockhashes(genesis=1, valid_blocks=151)
    hashes.advance(1)
    raw = hashes._raw(1)
    assert hashes.at(1)[1] == 151
    hashes.advance(151)
    assert hashes.height_of(raw) == 1
    hashes.advance(152)
    assert hashes.height_of(raw) is None
    assert len(hashes._heights) == 151


def test_a_jump_in_height_makes_only_the_valid_hashes():
    hashes = Blockhashes(genesis=1, valid_blocks=151)
    hashes.advance(1)
    hashes.advance(10_000_000)
    assert sorted(hashes._heights.values()) == list(range(10_000_000 - 150, 10_000_001))


def test_another_genesis_has_other_hashes():
    assert Blockhashes(1, 151).at(5) != Blockhashes(2, 151).at(5)
