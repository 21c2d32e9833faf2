"""Orders to place come from a name and from nothing else."""

from load.plans import Plan, Way, plans


def test_plans_come_from_their_name() -> None:
    """The same name gives the same orders; every way is there, and every key is another one and tells the name."""

    def first(name: str) -> list[Plan]:
        drawing = plans(name)
        return [next(drawing) for _ in range(500)]

    assert first("a") == first("a")
    assert [plan.body for plan in first("a")] != [plan.body for plan in first("b")]
    assert {plan.way for plan in first("a")} == set(Way)
    assert len({plan.key for plan in first("a")}) == 500
    assert all(plan.key.startswith("a-") for plan in first("a"))
