import pytest

from chart.rendering import HELM, WITHOUT_HELM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Helm only what needs no rendering is tested, and the summary says so for each of the others."""
    if HELM is None:
        for item in items:
            if item.get_closest_marker("helm"):
                item.add_marker(pytest.mark.skip(reason=WITHOUT_HELM))
