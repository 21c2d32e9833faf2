from collections.abc import Iterator

import pytest

from support.running_stack import RunningStack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run the whole system once for a module's tests."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
