"""Many parties in one process, in virtual time: for tests and simulation."""
