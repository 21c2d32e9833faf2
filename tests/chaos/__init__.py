"""The whole stack under steady load and seeded faults, judged by the chain's ledger and by every order's history."""
