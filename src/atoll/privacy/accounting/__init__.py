"""What mechanisms cost in ε and δ, round by round.

``api`` states what is accounted for, ``bounds`` gives its ε by a maintained library, ``calibrate``
the noise for an ε, and ``spending`` what a run adds to the account of a table.
"""
