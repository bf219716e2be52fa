"""Training over a population: clients that dial out, under terms that each signed once.

``terms`` are what a client agrees to, ``coordinator`` is the pure state machine of rounds, ``work``
is what both sides make of the terms, ``clients`` binds the coordinator to the training loop.
Nothing here opens a connection.
"""
