"""Protocols between parties: one interface each, several implementations."""
