"""Whether a party takes part in a job: grants, caps over the ledger, and the pure decision."""
