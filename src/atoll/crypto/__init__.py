"""Security technology of one party: keys, ciphertexts, curves; no input or output."""
