"""What the aggregator sends its clients: whole vectors, or differences to what they hold.

With a compressed down-link the first message of an attempt is whole, so that a party which resumes
needs nothing but it. Later ones bring one difference for each round that ended, or nothing where
none did; both sides add it to what they hold, to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from atoll.channel.api import Channel
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.parties import vectors
from atoll.learning.horizontal.parties.messages import Difference, Weights
from atoll.learning.horizontal.postprocess.api import Bytes
from atoll.learning.horizontal.postprocess.down_link import DownLink

Parcel = Mapping[str, Bytes] | None


@dataclass
class Down:
    """One side of the down-link in one attempt; ``link`` None: all is sent whole.

    ``held`` is what the clients hold, since they were sent round ``round``.
    """

    link: DownLink | None
    held: Vectors = field(default_factory=dict)
    round: int = -1

    def parcel(self, round_: int, message: Vectors, state: State | None) -> Parcel:
        """Return the bytes of what all clients lack at the aggregator; None: they lack it all.

        ``state`` is the aggregator's after the last round that ended in this attempt.
        """
        if self.link is None or (state is None and round_ != self.round):
            self.held, self.round = message, round_
            return None
        if round_ == self.round or state is None:
            return {}
        held, wire = self.link.step(self.held, self.link.exact(state), round_)
        self.held, self.round = held, round_
        return wire

    def send(self, channel: Channel, name: str, message: Vectors, parcel: Parcel) -> None:
        """Send one client what it lacks. Errors: those of ``Channel.send``."""
        for key, vector in sorted(message.items() if parcel is None else ()):
            flat = vector.astype(np.float32, copy=False)
            vectors.send(channel, name, f"begin/{key}", Weights, flat)
        for key, data in sorted((parcel or {}).items()):
            vectors.send_coded(channel, name, f"begin/{key}", data, Difference)

    def receive(self, channel: Channel, hub: str, round_: int, form: Mapping[str, int]) -> Vectors:
        """Return what this client holds once it has what it lacks at round ``round_``.

        ``form`` are the vectors' names and lengths. Errors: ATL-HOR-081, those of
        ``Channel.receive``.
        """
        if self.link is None or not self.held:
            self.held = {
                name: vectors.receive(channel, hub, f"begin/{name}", Weights, size)
                for name, size in form.items()
            }
        elif round_ != self.round:
            coder = self.link.coder
            found = {
                name: vectors.receive_coded(channel, hub, f"begin/{name}", coder, size, Difference)
                for name, size in form.items()
            }
            self.held = self.link.after(self.held, found)
        self.round = round_
        return self.held
