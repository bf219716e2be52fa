"""Partitioned Arrow tables with ids, the engines that work on them, and their sources."""

from atoll.table.ids import ID_RULE
from atoll.table.sources.csv import read_csv, write_csv
from atoll.table.table import Table

__all__ = ["ID_RULE", "Table", "read_csv", "write_csv"]
