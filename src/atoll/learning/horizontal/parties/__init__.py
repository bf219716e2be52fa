"""Horizontal training between the parties of a job: clients with rows, and an aggregator."""
