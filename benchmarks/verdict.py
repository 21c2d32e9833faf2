"""Whether a run may be believed: every accepted order has ended, and the audit against the chain is clean."""

import os
import subprocess
import sys

from benchmarks.database import Comparison
from benchmarks.load_client import LoadClient
from benchmarks.system import System

_AUDIT_WITHIN_S = 60


def faults_of_client(client: LoadClient, comparison: Comparison) -> list[str]:
    """Compare what the client was told with what is stored, and say what does not agree."""
    faults: list[str] = []
    if client.refusals:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(client.refusals.items()))
        faults.append(f"requests that were not accepted: {kinds}")
    if (twice := len(client.accepted) - len(set(client.accepted))) > 0:
        faults.append(f"{twice} answers named an order that an earlier answer had named")
    if comparison.lost:
        examples = ", ".join(str(each) for each in comparison.examples)
        faults.append(
            f"of {len(client.accepted)} accepted orders {comparison.missing} are not stored and "
            f"{comparison.unfinished} have not ended, such as {examples}"
        )
    return faults


def faults_of_audit(system: System) -> list[str]:
    """Let the audit compare orders with the chain's ledger, and return what it says unless that is clean."""
    environment = os.environ | {
        "STACK_DIR": str(system.layout.root),
        "DATABASE_URL": system.database_url,
        "DEX_URL": system.dex_url,
    }
    command = [sys.executable, "-m", "devstack", "audit"]
    try:
        audit = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_AUDIT_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        return [f"the audit took longer than {_AUDIT_WITHIN_S} s"]
    return [] if audit.returncode == 0 else [f"the audit is not clean:\n{audit.stdout}{audit.stderr}".rstrip()]
