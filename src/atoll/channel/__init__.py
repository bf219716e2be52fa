"""How parties communicate: transports, typed channels and what role code is given."""
