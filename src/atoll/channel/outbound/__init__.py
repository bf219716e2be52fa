"""Clients that dial out: certificates of a population, one-time codes, TLS for both ends.

The population's authority is apart from that of the party that runs it, and so are the names: no
verifier of partners takes a client, and none of clients takes a partner.
"""
