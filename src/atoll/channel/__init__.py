"""How parties talk: transports, typed channels and what role code is given."""
