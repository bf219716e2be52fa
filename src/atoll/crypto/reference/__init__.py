"""Plain-Python definitions of the curve cryptography: slow, not constant-time, for tests only.

The native kernels are compared with these functions. Outside tests and simulation every one of
them refuses to run (ATL-CRY-001).
"""
