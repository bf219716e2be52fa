"""The node: one process that holds a party's API, gateway, job machines, database and workers."""
