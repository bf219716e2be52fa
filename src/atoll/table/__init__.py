"""Partitioned Arrow tables with ids, the engines that work on them, and their sources."""

from atoll.table.ids import ID_RULE
from atoll.table.sources import read, read_csv, write, write_csv
from atoll.table.table import Table

__all__ = ["ID_RULE", "Table", "read", "read_csv", "write", "write_csv"]
