"""The release that the tests of `make kind-test` share; where there is none, it is made once."""

import os
import subprocess
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest
import uvloop

from cluster.deployed import ROOT, Deployed, with_kindstack
from cluster.drill import RATE
from kindstack.settings import KindSettings


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Take the faster loop: clients share the two cores with the cluster that they ask."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_report_header() -> str:
    """Say how hard the drills are."""
    return f"drills on the cluster place {RATE:g} orders a second (KIND_TEST_RATE)"


@pytest.fixture(scope="session")
def deployed() -> Deployed:
    """Bring cluster and release up to this checkout, as `make kind-up` does; what is there already stays."""
    subprocess.run([sys.executable, "-m", "kindstack", "up"], cwd=ROOT, env=with_kindstack(), check=True)
    return Deployed(KindSettings())


@pytest.fixture(scope="session")
def new_name() -> Callable[[str], str]:
    """Name drills so that their orders are told apart from those of earlier runs."""
    run = os.urandom(3).hex()
    return lambda drill: f"{drill}-{run}"
