"""The parameters of horizontal training as a job states them, and the objects that they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.algorithms import scaffold
from atoll.learning.horizontal.algorithms.dpsgd import PrivateSGD
from atoll.learning.horizontal.algorithms.fedavg import WEIGHT, FedAvg
from atoll.learning.horizontal.algorithms.fednova import FedNova
from atoll.learning.horizontal.algorithms.fedsgd import FedSGD
from atoll.learning.horizontal.algorithms.qfedavg import QFedAvg
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.parties.compression import Compression, Method
from atoll.learning.horizontal.parties.compression import Width as Bits
from atoll.learning.horizontal.parties.privacy import Privacy, Private, Size, private
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.compress import Quantise
from atoll.learning.horizontal.postprocess.down_link import DownLink
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.robust import RuleName, rule_named, weight_for
from atoll.learning.horizontal.server import ServerStep
from atoll.learning.horizontal.sums import Update
from atoll.models.network.conv import Convolution
from atoll.models.network.spec import Family, NetworkSpec, Pixels, Width

Name = Literal[
    "fedavg", "fedavgm", "fedadam", "fedyogi", "fedprox", "fedsgd", "scaffold", "fednova", "qfedavg"
]
Combine = Callable[[Sequence[Update]], Update | None]
_SERVERS: Mapping[str, Literal["momentum", "adam", "yogi"]] = {
    "fedavgm": "momentum",
    "fedadam": "adam",
    "fedyogi": "yogi",
}
# Parameters that only some algorithms have.
_OWN: Mapping[str, tuple[str, ...]] = {
    "proximal": ("fedprox",),
    "fairness": ("qfedavg",),
    "server_momentum": tuple(_SERVERS),
}
# Rows of the largest client times clients up to which 32 bits leave a row 2^-6 of the bound.
_FINE_ROWS = 1 << 24
_ROUNDING = 1e-9


class HorizontalParameters(BaseModel):
    """What is trained, how, for how many rounds, and how updates are added up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family = Field(
        default="logistic",
        description="what the label is: linear (a number), logistic (0 or 1), softmax (classes, "
        "numbered from 0), poisson (a count)",
    )
    classes: int = Field(default=2, ge=2, le=1 << 12, description="classes of a softmax label")
    hidden: tuple[Width, ...] = Field(
        default=(), max_length=16, description="widths of hidden layers; none: a linear model"
    )
    image: tuple[Pixels, Pixels, Pixels] | None = Field(
        default=None,
        description="height, width and channels where a row is an image: columns in the order of "
        "its rows, its pixels, their channels; empty: no image",
    )
    convolutions: tuple[Convolution, ...] = Field(
        default=(),
        max_length=16,
        description="layers over an image, before the hidden ones: channels, and as wished kernel, "
        "stride, padding (same, valid), pooling (none, max, mean)",
    )
    l2: float = Field(default=0.0, ge=0, le=1e3, description="penalty of a linear model's weights")
    algorithm: Name = Field(default="fedavg", description="how clients' work becomes one model")
    rounds: int = Field(default=20, ge=1, le=1 << 16, description="rounds of training")
    epochs: int = Field(default=1, ge=1, le=1000, description="a client's passes in a round")
    batch_size: int | None = Field(
        default=20, ge=1, le=1 << 20, description="rows of a step; empty: all rows"
    )
    learning_rate: float = Field(default=0.1, gt=0, le=1e3, description="size of a client's step")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of a client's own steps")
    weighting: Literal["rows", "equal"] = Field(
        default="rows", description="what a client weighs in the mean"
    )
    server_rate: float = Field(default=1.0, gt=0, le=1e3, description="size of the common step")
    server_momentum: float | None = Field(
        default=None, ge=0, lt=1, description="decay of fedavgm, fedadam and fedyogi; empty: 0.9"
    )
    proximal: float | None = Field(
        default=None, ge=0, le=1e3, description="fedprox: pull to the common weights; empty: 0.01"
    )
    fairness: float | None = Field(
        default=None, ge=0, le=20, description="qfedavg: how much high losses weigh; empty: 1"
    )
    sum: Literal["masked", "plain"] = Field(
        default="masked",
        description="masked: the aggregator sees sums of at least three clients; plain: it sees "
        "each client's update",
    )
    bound: float = Field(
        default=16.0,
        gt=0,
        le=1e6,
        description="greatest absolute value of a client's change of a weight in a round (fedsgd: "
        "of a row's mean gradient): a client cuts its own to it, and more is refused",
    )
    clip: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="greatest L2 norm of an update; empty: not clipped. With privacy of rows of a "
        "row's gradient; with privacy empty: 1",
    )
    privacy: Privacy | None = Field(
        default=None,
        description="differential privacy: epsilon, and as wished delta, unit, relation, noise, "
        "colluding, multiplier (guide/privacy.md has them); empty: none",
    )
    rule: RuleName = Field(
        default="mean",
        description="how updates become one; all but mean withstand clients that lie, count each "
        "client once and need sum: plain",
    )
    poisoned: float | None = Field(
        default=None,
        ge=0,
        lt=0.5,
        description="trimmed_mean, krum, multi_krum: share of clients that may lie; empty: 0.2",
    )
    compression: Method = Field(
        default="none",
        description="how updates are made smaller: random_k (a share of the values, alike at all "
        "clients), top_k (each client's largest values; not under masks), quantised (few bits, "
        "each client's own scale; not under masks), rotated (few bits after a random rotation; "
        "under masks with a clip)",
    )
    compression_share: float | None = Field(
        default=None, gt=0, le=1, description="random_k, top_k: values that are sent; empty: 0.1"
    )
    compression_bits: Bits | None = Field(
        default=None, description="quantised, rotated: bits of a value; empty: 8"
    )
    down_bits: Literal[2, 4, 8] | None = Field(
        default=None,
        description="bits of a value of what clients are sent: differences to the model that they "
        "hold; empty: whole models",
    )
    minimum_clients: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=3, description="clients that must stay to the end of each round"
    )
    evaluate_every: int = Field(
        default=1,
        ge=0,
        le=1 << 16,
        description="rounds between two evaluations; 0: at the end alone",
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for name, algorithms in _OWN.items():
            if getattr(self, name) is not None and self.algorithm not in algorithms:
                raise ValueError(f"{name} is for {', '.join(algorithms)}, not {self.algorithm}")
        if self.compression_share is not None and self.compression not in {"random_k", "top_k"}:
            raise ValueError("compression_share is for random_k and top_k")
        if self.compression_bits is not None and self.compression not in {"quantised", "rotated"}:
            raise ValueError("compression_bits is for quantised and rotated")
        if self.sum == "masked" and self.minimum_clients < 3:
            raise ValueError("a masked sum needs at least three clients (minimum_clients)")
        if self.poisoned is not None and self.rule in {"mean", "median"}:
            raise ValueError(f"poisoned is for trimmed_mean, krum and multi_krum, not {self.rule}")
        if self.l2 and (self.hidden or self.convolutions):
            raise ValueError("l2 is for linear models, without hidden layers")
        if (self.image is None) != (not self.convolutions):
            raise ValueError("image and convolutions are for each other: state both or neither")
        return self

    @property
    def fewest_columns(self) -> int:
        """How many columns a table has at least: those of an image, or one."""
        return 1 if self.image is None else math.prod(self.image)

    def spec(self, columns: int) -> NetworkSpec:
        """Return the model of tables with so many columns. Errors: ATL-HOR-080 too large."""
        try:
            return NetworkSpec(
                columns=columns,
                family=self.family,
                classes=self.classes,
                hidden=self.hidden,
                image=self.image,
                convolutions=self.convolutions,
            )
        except ValueError as error:
            raise UserError(
                "ATL-HOR-080", f"there is no model for {columns} columns", hint=str(error)
            ) from error

    @property
    def local(self) -> LocalTraining:
        """How a client trains."""
        return LocalTraining(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            fewest=self.fewest,
        )

    @property
    def fewest(self) -> int:
        """The rows that a last step has at least."""
        return 1

    @property
    def remembered(self) -> float:
        """How many rows an update follows from, of those whose steps make it: infinite for all.

        Of a step 1 - rate · (l2 + proximal) is left after the next one, so that the last steps
        (with a factor beyond 1 the first) are the whole update where that is near 0.
        """
        size = self.batch_size
        if size is None or self.algorithm == "fedsgd":
            return math.inf
        pull = (0.01 if self.proximal is None else self.proximal) * (self.algorithm == "fedprox")
        forgets = abs(1 - abs(1 - self.learning_rate * (self.l2 + pull)))
        return size / forgets if forgets > _ROUNDING else math.inf

    @property
    def server(self) -> ServerStep:
        """What the aggregator does with a mean change."""
        momentum = 0.9 if self.server_momentum is None else self.server_momentum
        return ServerStep(
            method=_SERVERS.get(self.algorithm, "plain"), rate=self.server_rate, momentum=momentum
        )

    def mask(self, clients: int, rows: int) -> Mask | None:
        """Return the mask of sums over at most so many clients with at most so many rows each.

        Where one client's rows leave little of the grid to one row, the ring is the wider one: a
        client that states many rows does not round the others' updates to 0.
        """
        if self.sum == "plain":
            return None
        by_rows = self.weighting == "rows" or self.algorithm == "fedsgd"
        weight = max(rows, 1) if by_rows else 1
        ring: Literal[32, 64] = 64 if weight * clients > _FINE_ROWS else 32
        return Mask(bound=self.bound * weight, clients=clients, ring=ring)

    def private(self, size: Size) -> Private | None:
        """Return what differential privacy takes, where it is asked for.

        Errors: ATL-HOR-140 what is not sound with it, ATL-HOR-073, ATL-HOR-143, ATL-HOR-144,
        ATL-PRV-014.
        """
        if self.privacy is None:
            return None
        require_sound(self, self.privacy)
        if self.privacy.unit == "row" and not size.all_rows:
            raise UserError(
                "ATL-HOR-144",
                "privacy of rows needs the number of rows at each client, which is not known here",
                place="privacy",
                hint="train on the tables as they are registered",
            )
        clip = 1.0 if self.clip is None else self.clip
        return private(self.privacy, clip, self.rounds, size, self._constants(size.clients))

    def _constants(self, clients: int) -> dict[str, float]:
        """Return the numbers of an update that are the same at all clients."""
        if self.algorithm == "fedsgd":
            return {}
        more = {scaffold.CLIENTS: float(clients), scaffold.COUNT: 1.0}
        return {WEIGHT: 1.0, **(more if self.algorithm == "scaffold" else {})}

    def private_by(self, found: Private, rows: int) -> Algorithm:
        """Return the algorithm under privacy, for so many rows at all clients together."""
        if found.asked.unit == "client":
            return self.trained_by()
        return PrivateSGD(
            clip=found.noise.norm,
            places=found.noise.places,
            rows=rows,
            learning_rate=self.learning_rate,
            server=self.server,
        )

    def chain(self, mask: Mask | None) -> Chain:
        """Return what an update passes before it is summed."""
        clip: tuple[Postprocessor, ...] = () if self.clip is None else (Clip(norm=self.clip),)
        return Chain(clip if mask is None else (*clip, mask))

    def combine(self, chain: Chain, clients: int) -> Combine | None:
        """Return what takes the place of the sum of so many clients; None: nothing does.

        Errors: ATL-HOR-109, ATL-HOR-110; ATL-HOR-111 too few clients for the rule.
        """
        rule = rule_named(self.rule, self.poisoned)
        if rule is None:
            return None
        weight = weight_for(rule, self.trained_by(), chain)
        few = [n for n in range(self.minimum_clients, clients + 1) if not rule.fits(n)]
        if few:
            raise UserError(
                "ATL-HOR-111",
                f"{self.rule} is for more clients than {few[-1]} where so large a share may lie",
                hint="raise minimum_clients, lower poisoned, or take the median",
            )
        return partial(rule.combine, weight=weight)

    def rule_notes(self, clients: int) -> tuple[str, ...]:
        """Return what those who approve should know of the rule, nothing for the mean."""
        rule = rule_named(self.rule, self.poisoned)
        if rule is None:
            return ()
        most = rule.tolerates(self.minimum_clients)
        return (
            f"{self.rule} withstands {most} lying clients where {self.minimum_clients} of "
            f"{clients} answer; it counts each client once, whatever rows it states, and leaves "
            "out honest updates that differ much from the others",
        )

    @property
    def compressed(self) -> Compression:
        """How updates are made smaller."""
        share = 0.1 if self.compression_share is None else self.compression_share
        bits = 8 if self.compression_bits is None else self.compression_bits
        return Compression(method=self.compression, share=share, bits=bits)

    def sent_down(self, algorithm: Algorithm) -> Algorithm:
        """Return an algorithm with what it sends clients compressed, where that is asked for."""
        if self.down_bits is None:
            return algorithm
        return DownLink(algorithm=algorithm, coder=Quantise(width=self.down_bits))

    def trained_by(self) -> Algorithm:
        """Return the algorithm. Errors: ATL-HOR-060 SCAFFOLD with local momentum."""
        return _MAKERS.get(self.algorithm, _fedavg)(self)


def _fedavg(of: HorizontalParameters) -> Algorithm:
    proximal = 0.0
    if of.algorithm == "fedprox":
        proximal = 0.01 if of.proximal is None else of.proximal
    return FedAvg(local=of.local, server=of.server, proximal=proximal, weighting=of.weighting)


def _qfedavg(of: HorizontalParameters) -> Algorithm:
    return QFedAvg(local=of.local, q=1.0 if of.fairness is None else of.fairness)


_MAKERS: Mapping[str, Callable[[HorizontalParameters], Algorithm]] = {
    "fedsgd": lambda of: FedSGD(learning_rate=of.learning_rate),
    "scaffold": lambda of: scaffold.Scaffold(
        local=of.local, server=of.server, weighting=of.weighting
    ),
    "fednova": lambda of: FedNova(local=of.local, server=of.server, weighting=of.weighting),
    "qfedavg": _qfedavg,
}


_BY_ROW: Mapping[str, str] = {
    "scaffold": "a row moves the control variate that its client keeps, and so all later rounds",
    "fednova": "a row moves a client's local steps in ways that have no bound",
    "qfedavg": "updates are weighed by losses, which one row moves without bound",
}
_BY_CLIENT: Mapping[str, str] = {
    "fedsgd": "gradients are weighed by row counts, which noise does not hide",
    "fednova": "updates bring numbers of steps, which noise does not hide",
    "qfedavg": "updates bring losses, which noise does not hide",
}


def require_sound(of: HorizontalParameters, asked: Privacy) -> None:
    """Refuse what no noise here covers. Errors: ATL-HOR-140, with the reason."""
    for why, hint in _unsound(of, asked):
        raise UserError(
            "ATL-HOR-140",
            f"this training cannot have differential privacy: {why}",
            place="privacy",
            hint=hint,
        )


def _unsound(of: HorizontalParameters, asked: Privacy) -> Iterator[tuple[str, str]]:
    if asked.unit == "row" and of.algorithm != "fedsgd":
        default = "local steps are not clipped row by row"
        why = _BY_ROW.get(of.algorithm, default)
        yield f"{of.algorithm}: {why}", "algorithm: fedsgd, or with many clients unit: client"
    if asked.unit == "row" and of.l2:
        yield "l2 adds to gradients what is of no row", "leave l2 out: noise holds weights back"
    if asked.unit == "client" and of.algorithm in _BY_CLIENT:
        yield f"{of.algorithm}: {_BY_CLIENT[of.algorithm]}", "algorithm: fedavg or scaffold"
    if asked.unit == "client" and of.weighting != "equal":
        yield "weights by rows show row counts, which noise does not hide", "weighting: equal"
    if of.compression != "none":
        yield "no bound is known here on what a row moves after a compression", "compression: none"
    if of.rule != "mean":
        yield "a robust rule takes single updates, and no noise here is made for it", "rule: mean"
    if asked.noise == "local" and of.sum == "masked":
        yield "local noise is for sums without a mask", "noise: distributed, or sum: plain"
    if asked.noise != "local" and of.sum == "plain":
        if asked.noise == "distributed":
            plain = "a share of the noise is too little for an update that no mask hides"
        else:
            plain = "plain updates travel rounded, and what a row moves then has no bound"
        yield plain, "sum: masked, or noise: local"
    if asked.noise == "distributed" and 3 * asked.colluding > of.minimum_clients:
        yield (
            f"{asked.colluding} colluding clients of at least {of.minimum_clients} could open "
            "sums without the others",
            "a third of minimum_clients may collude, not more",
        )
