"""Makes a failing plan smaller while it fails in the same way: fewer faults first, then calmer constants and times."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

from simulation.plan import Fault, Plan, PlannedOrder

Fails = Callable[[Plan], bool]

_CALM = {
    field.name: field.default
    for field in fields(Plan)
    if field.name not in ("seed", "orders", "faults") and field.default is not None
}
_CALM_ORDER = PlannedOrder(0.05)
_ROUNDED_TO = (0, 1, 2)


def shrink(plan: Plan, fails: Fails) -> Plan:
    """Return a smallest plan that still fails, in the sense that no single step below makes it smaller."""
    if not fails(plan):
        raise ValueError("the plan does not fail")
    while True:
        smaller = _with_fewer_faults(plan, fails)
        for step in (_calmer, _with_fewer_orders, _simpler):
            smaller = _repeat(step, smaller, fails)
        if smaller == plan:
            return plan
        plan = smaller


def _with_fewer_faults(plan: Plan, fails: Fails) -> Plan:
    """Leave out halves, quarters and so on of the faults, down to single ones (delta debugging)."""
    size = len(plan.faults)
    while size:
        first = 0
        while first < len(plan.faults):
            fewer = replace(plan, faults=plan.faults[:first] + plan.faults[first + size :])
            if fails(fewer):
                plan = fewer
            else:
                first += size
        size //= 2
    return plan


def _repeat(step: Callable[[Plan], Iterator[Plan]], plan: Plan, fails: Fails) -> Plan:
    """Take the first of the step's suggestions that fails, again and again until none does."""
    while (found := next((each for each in step(plan) if each != plan and fails(each)), None)) is not None:
        plan = found
    return plan


def _calmer(plan: Plan) -> Iterator[Plan]:
    for name, value in _CALM.items():
        yield replace(plan, **{name: value})


def _with_fewer_orders(plan: Plan) -> Iterator[Plan]:
    for number in range(len(plan.orders)):
        if len(plan.orders) > 1:
            orders = plan.orders[:number] + plan.orders[number + 1 :]
            yield replace(plan, orders=orders, faults=tuple(_without_order(plan.faults, number)))
        for calm in (_CALM_ORDER, replace(_CALM_ORDER, at=plan.orders[number].at)):
            yield replace(plan, orders=(*plan.orders[:number], calm, *plan.orders[number + 1 :]))


def _without_order(faults: Sequence[Fault], number: int) -> Iterator[Fault]:
    for fault in faults:
        order = getattr(fault, "order", None)
        if order is None or order < number:
            yield fault
        elif order > number:
            yield replace(fault, order=order - 1)


def _simpler(plan: Plan) -> Iterator[Plan]:
    for place, fault in enumerate(plan.faults):
        for simple in _simple_versions(fault):
            yield replace(plan, faults=(*plan.faults[:place], simple, *plan.faults[place + 1 :]))


def _simple_versions(fault: Fault) -> Iterator[Fault]:
    """Round one time of the fault, to as few digits as possible first."""
    for field in fields(fault):
        value = getattr(fault, field.name)
        if not isinstance(value, float):
            continue
        for digits in _ROUNDED_TO:
            rounded = round(value, digits)
            if rounded == value:
                break
            yield replace(fault, **{field.name: rounded})
