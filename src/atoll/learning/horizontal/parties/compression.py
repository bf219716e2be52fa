"""Compression as a job states it: which links stand between the clip and the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.learning.horizontal.postprocess.api import Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.rotate import Rotate
from atoll.learning.horizontal.postprocess.shared_scale import SharedScale

Method = Literal["none", "random_k", "top_k", "quantised", "rotated"]
Width = Literal[1, 2, 4, 8]


class Compression(BaseModel):
    """How updates are made smaller on their way to the aggregator.

    Under masks all clients must do alike: random_k, and rotated on a public scale that follows from
    the clip. In the clear each client may choose values or a scale of its own, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "none"
    share: float = Field(default=0.1, gt=0, le=1)
    bits: Width = 8

    def applied(self, chain: Chain, size: int) -> Chain:
        """Return ``chain`` with the links that compress vectors of so many values.

        Errors: ATL-HOR-050 what cannot be masked or carried past a clip, ATL-HOR-123 a public scale
        without a clip.
        """
        before = [link for link in chain.links if link.stage < Stage.COMPRESS]
        after = [link for link in chain.links if link.stage >= Stage.COMPRESS]
        mask = next((link for link in after if isinstance(link, Mask)), None)
        if self.method == "rotated" and mask is not None:
            shared = self._shared(before, mask, size)
            after = [shared.mask() if link is mask else link for link in after]
            return Chain((*before, Rotate(), shared, *after))
        return Chain((*before, *self._links(), *after))

    def _links(self) -> tuple[Postprocessor, ...]:
        match self.method:
            case "random_k":
                return (RandomK(share=self.share),)
            case "top_k":
                return (TopK(share=self.share),)
            case "quantised":
                return (Quantise(width=self.bits),)
            case "rotated":
                return (Rotate(), Quantise(width=self.bits))
        return ()

    def _shared(self, before: Sequence[Postprocessor], mask: Mask, size: int) -> SharedScale:
        norms = [link.norm for link in before if isinstance(link, Clip)]
        if not norms:
            raise UserError(
                "ATL-HOR-123",
                "rotated updates are quantised under masks on one public scale, and without a clip "
                "there is no bound that it could follow from",
                hint="state a clip, or choose compression: random_k",
            )
        reach = Rotate().reach(min(norms), size)
        return SharedScale(width=self.bits, reach=reach, clients=mask.clients)


def mask_of(chain: Chain) -> Mask | None:
    """Return the mask that stands in a chain."""
    return next((link for link in chain.links if isinstance(link, Mask)), None)
