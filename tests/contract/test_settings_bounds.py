"""Every number that can be set has bounds, so that a slip of the keyboard ends at the start and not in production."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from devstack.settings import StackSettings
from engine_api.settings import ApiSettings
from engine_common.migrate import _seconds  # pyright: ignore[reportPrivateUsage]
from engine_common.settings import Settings, variable_names
from engine_worker.settings import WorkerSettings
from mockdex.settings import MockdexSettings
from mockdex.tuning import Adjustment

sys.path.append(str(Path(__file__).parents[2] / "deploy/kind"))
from kindstack.settings import KindSettings

SERVICES: tuple[type[Settings], ...] = (ApiSettings, WorkerSettings, MockdexSettings, StackSettings, KindSettings)


def subclasses(cls: type[Settings]) -> Iterator[type[Settings]]:
    for each in cls.__subclasses__():
        yield each
        yield from subclasses(each)


def numbers(annotation: Any) -> set[type]:
    """Return which kinds of number an annotation allows, however deep they stand in it."""
    if annotation in (int, float):
        return {annotation}
    return {kind for inner in get_args(annotation) for kind in numbers(inner)}


def constraints(field: FieldInfo) -> list[Any]:
    """Return the constraints of the field and of every annotation in it."""
    found = list(field.metadata)
    pending = list(get_args(field.annotation))
    while pending:
        inner = pending.pop()
        found += [one for meta in getattr(inner, "__metadata__", ()) for one in getattr(meta, "metadata", [meta])]
        pending += get_args(inner)
    return found


def numeric_fields() -> list[tuple[type[Settings], str, FieldInfo]]:
    return [
        (cls, name, field) for cls in SERVICES for name, field in cls.model_fields.items() if numbers(field.annotation)
    ]


def name_of(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else value if isinstance(value, str) else ""


def test_no_class_of_settings_is_left_out() -> None:
    """A new one is found as soon as it is imported; bases are covered by what stands on them."""
    ours = {cls for cls in subclasses(Settings) if not cls.__module__.startswith(("test_", "unit.", "tests."))}
    assert {cls for cls in ours if not cls.__subclasses__()} == set(SERVICES)
    assert len(numeric_fields()) > 40


@pytest.mark.parametrize(("cls", "name", "field"), numeric_fields(), ids=name_of)
def test_every_number_has_two_finite_bounds(cls: type[Settings], name: str, field: FieldInfo) -> None:
    """And a default within them."""
    least = [one.ge if isinstance(one, Ge) else one.gt for one in constraints(field) if isinstance(one, (Ge, Gt))]
    most = [one.le if isinstance(one, Le) else one.lt for one in constraints(field) if isinstance(one, (Le, Lt))]
    assert len(least) == len(most) == 1, f"{cls.__name__}.{name} needs a lower and an upper bound"
    assert math.isfinite(least[0])
    assert math.isfinite(most[0])
    default: Any = field.get_default()
    assert default is None or least[0] <= default <= most[0]


WRONG = ("inf", "-inf", "Infinity", "nan", "NaN", "1e999", "-1e999", "9" * 40, "-1", "\uff11", "\u0661", "0x10", "one")


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(("cls", "name", "field"), numeric_fields(), ids=name_of)
def test_what_is_no_sane_number_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, cls: type[Settings], name: str, field: FieldInfo, value: str
) -> None:
    """Infinite, absent, astronomically large or in another script."""
    monkeypatch.setenv(variable_names(name, field)[0], value)
    with pytest.raises(ValidationError) as raised:
        cls()
    wanted = {name, *variable_names(name, field)}
    assert any(str(error["loc"][0]).upper() in {each.upper() for each in wanted} for error in raised.value.errors())


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
def test_faults_of_the_mock_have_the_same_bounds_at_run_time(value: float) -> None:
    """What PATCH takes is what the environment takes."""
    for name in Adjustment.model_fields:
        with pytest.raises(ValidationError):
            Adjustment(**{name: value})


@pytest.mark.parametrize("value", [*WRONG, "86401"])
def test_the_migrators_patience_is_bounded(value: str) -> None:
    """It is an argument of its command."""
    with pytest.raises(Exception, match="must be a number of seconds from 0 to 86400"):
        _seconds(value)


@pytest.mark.parametrize(
    "limits", ["\uff11\uff10/second", "9" * 12 + "/second", "1/1000 years", "0/second", "-1/second", "inf/second"]
)
def test_rate_limits_are_bounded_too(limits: str) -> None:
    """They are numbers inside a text."""
    for name in ("rate_limit_reads", "rate_limit_writes"):
        with pytest.raises(ValidationError):
            ApiSettings(**{name: limits})
