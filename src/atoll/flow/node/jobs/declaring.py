"""What this node declares for a job: its tables, its components' code, its certificate."""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from atoll.channel.api import Buffer
from atoll.channel.identity import Identity
from atoll.components.api import Catalogue, TableDeclaration, Tables
from atoll.components.references import Lookup, ModelRef
from atoll.components.synthetic import NAME as SYNTHETIC
from atoll.core import codec
from atoll.core.errors import AtollError, DataError, PeerError, UserError
from atoll.core.random import SecretRandom
from atoll.core.strict import read
from atoll.flow import planning
from atoll.flow.control.facts import Declaration
from atoll.flow.node.data.inspection import looking_for_partner
from atoll.flow.planning import component_facts, no_registry, own_references
from atoll.jobs.audience import Audience, shown
from atoll.jobs.commitment import SECRET_BYTES, Opening
from atoll.jobs.definition import Job
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import ComponentFacts, Plan, TableFacts

DECLARATION_BYTES = 8 << 20
# So many looks that a proposed job causes are not counted.
_FREE_LOOKS = 16
_SALTS = "salts of table facts"
_COMMITMENTS = "commitments of jobs with a seed"


@dataclass(frozen=True)
class OwnDeclaration:
    """A declaration: table facts by step, code by component, the certificate (PEM), and the
    commitments to own parts of registered models by step.

    ``audience`` says who is sent the tables' facts of a step, where that is not every party.
    ``opening`` is what opens the commitments; it stays at home.
    """

    tables: Mapping[str, TableFacts]
    components: Mapping[str, ComponentFacts]
    certificate: bytes
    parts: Mapping[str, str] = field(default_factory=dict)
    audience: Audience = field(default_factory=dict)
    opening: Opening | None = None

    def to(self, party: str) -> OwnDeclaration:
        """Return what a party is sent of this."""
        return replace(self, tables=shown(self.tables, self.audience, party))


class Declarer:
    """Makes the declarations of one node."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        catalogue: Callable[[], Catalogue],
        tables: Callable[[Callable[[str], None]], Tables],
        guard: Callable[[str, Collection[str]], None] = lambda partner, tables: None,
        part: Lookup = no_registry,
        registered: Callable[[ModelRef], tuple[str, str, int]] = no_registry,
        spend: Callable[[str, float], bool] = lambda partner, looks: True,
    ) -> None:
        """``tables`` returns the own ones; what it is given is asked before one is looked for.

        ``guard`` raises if a partner may not even be sent facts of these tables (by name), or
        anything of a job that brings none.
        ``part`` returns the own part of a registered model, ``registered`` its kind, digest and
        bytes. ``spend`` takes looks at tables and parts of models of what a partner may cause;
        False: it has not so many left.
        """
        self._spend = spend
        self._registered = registered
        self._guard = guard
        self._part = part
        self._identity = identity
        self._catalogue = catalogue
        self._tables = tables

    def check(self, job: Job) -> None:
        """Check a job without opening a table. Errors: those of ``planning.check``, ATL-PTY-012."""
        identity = self._identity()
        # First, as a plan's work grows with its parties: strangers' names would multiply it.
        if identity.party not in job.parties:
            raise UserError(
                "ATL-JOB-009",
                "this node's party does not take part in the job",
                party=identity.party,
                place="parties",
            )
        for party in job.parties:
            if party != identity.party:
                identity.peer(party)
        planning.check(job, self._catalogue())

    def declare(
        self, job: Job, partner: str | None = None, *, proposed: bool = False
    ) -> OwnDeclaration:
        """Return what is sent to the parties, and to whom; ``partner`` asks, if not we.

        ``proposed``: for a job, and not only for a look at its plan; for that alone no table is
        looked at of which the partner is sent nothing.
        The guard is asked about each party that would be sent something, before it is looked up.
        Errors: those of ``check``, of the tables, and of the guard; for an own job those of
        ``verify``, too; ATL-PLN-013 the partner asks for too much, ATL-PLN-014 a table that not all
        parties are sent facts of.
        """
        self.check(job)
        identity, catalogue = self._identity(), self._catalogue()
        audience = planning.audience_of(job, catalogue)
        held = own_references(job, catalogue, identity.party)
        steps = planning.bringing(job, catalogue, identity.party).keys()
        sent = _sent(job, identity.party, partner, proposed=proposed)
        readers = {s: sent.intersection((partner, *audience.get(s, sent))) for s in steps}
        if partner is not None and not proposed:
            readers = {s: seen for s, seen in readers.items() if partner in audience.get(s, sent)}
        self._charge(partner, len(readers) + len(held), free=_FREE_LOOKS if proposed else 0)
        made = self._made(job, readers, audience if partner is not None and proposed else ())
        found = {step: declared.facts for step, declared in made.items()}
        if held:
            self._allow(sent, _own_names(job, found))
        opening = self._opening(job, found, held, repeats=proposed and job.seed is not None)
        if partner is None:
            planning.verify(job, catalogue, identity.party, made, self._part)
        names = {step: facts.name for step, facts in found.items()}
        commitments, parts = opening.commitments(identity.party, names)
        found = {
            step: facts.model_copy(update={"digest": commitments[step]})
            for step, facts in found.items()
        }
        salted = {s: _salted(identity, job, s, f) for s, f in found.items() if s in audience}
        facts, code = {**found, **salted}, component_facts(job, catalogue)
        return OwnDeclaration(facts, code, identity.certificate, parts, audience, opening)

    def _charge(self, partner: str | None, looks: int, *, free: int) -> None:
        """Take looks of what a partner may cause. Errors: ATL-PLN-013."""
        if partner is not None and not self._spend(partner, max(0, looks - free)):
            raise _spent(partner)

    def _made(
        self, job: Job, readers: Mapping[str, frozenset[str]], apart: Collection[str]
    ) -> dict[str, TableDeclaration]:
        """Return what this party declares, of the steps of ``readers``.

        ``readers`` are by step those that the guard is asked about, ``apart`` the steps whose facts
        not all parties of a partner's job are sent.
        """
        groups = defaultdict[tuple[bool, frozenset[str]], set[str]](set)
        for step, sent in readers.items():
            groups[step in apart, sent].add(step)
        made: dict[str, TableDeclaration] = {}
        for (alone, sent), steps in sorted(groups.items(), key=lambda group: group[0][0]):
            try:
                made |= self._made_for(job, steps, sent)
            except AtollError as error:
                if not alone:
                    raise
                # Who is sent nothing of a table learns from no code whether there is one like it.
                raise _apart(error) from error
        return made

    def _made_for(
        self, job: Job, steps: Collection[str], sent: Collection[str]
    ) -> dict[str, TableDeclaration]:
        # Before an error can say whether there is such a table or column.
        tables = self._tables(lambda name: self._allow(sent, {name}))
        with looking_for_partner() if sent else nullcontext():
            made = planning.declare(job, self._catalogue(), self._identity().party, tables, steps)
        own = _own_names(job, {step: declared.facts for step, declared in made.items()})
        if own:
            self._allow(sent, own)
        return made

    def _allow(self, parties: Iterable[str], tables: Collection[str]) -> None:
        """Ask the guard about each party. Errors: those of the guard."""
        for party in sorted(parties):
            self._guard(party, tables)

    def _opening(
        self,
        job: Job,
        found: Mapping[str, TableFacts],
        held: Mapping[str, ModelRef],
        *,
        repeats: bool,
    ) -> Opening:
        """Return what opens the commitments: with a fresh secret, but for a job with a seed.

        Such a job repeats, commitments and all, so its secret follows from the node's own key.
        Whoever only looks at a plan gets fresh ones in any case: asking again shows nothing.
        """
        if repeats:
            key, about = self._identity().secret(_COMMITMENTS), bytes.fromhex(job.digest())
            secret = hmac.digest(key, about, "sha256")
        else:
            secret = SecretRandom().bytes(SECRET_BYTES)
        return Opening(
            secret.hex(),
            {step: facts.digest for step, facts in found.items()},
            {step: self._held(reference) for step, reference in held.items()},
        )

    def _held(self, reference: ModelRef) -> str:
        """Return the digest of an own part; empty if there is none: commitments look alike."""
        try:
            return self._registered(reference)[1]
        except AtollError:
            return ""

    def verify(self, plan: Plan, opening: Opening | None = None, *, values: bool = True) -> None:
        """Check a plan against what this party alone can see, before it is agreed to.

        ``opening`` is what was committed to when this party declared. Where a partner learns how it
        ends, ``values`` of tables must not decide it. Errors: those of the tables
        and of ``planning.verify``; ATL-PLN-011 what was committed to is not there any more.
        """
        party, catalogue = self._identity().party, self._catalogue()
        tables = self._tables(lambda name: None)
        made = planning.declare(plan.job, catalogue, party, tables)
        hidden = plan.hidden
        planning.verify(
            plan.job, catalogue, party, made, self._part, plan.tables, hidden, values=values
        )
        if opening is None:
            return
        held = own_references(plan.job, catalogue, party)
        for step, digest in opening.tables.items():
            if step not in made or made[step].facts.digest != digest:
                raise _another("table", "ATL-WRK-008", party, step)
        for step, digest in opening.parts.items():
            if step not in held or self._held(held[step]) != digest:
                raise _another("part of the model", "ATL-REG-011", party, step)


def _sent(job: Job, own: str, partner: str | None, *, proposed: bool) -> frozenset[str]:
    """Return whom the guard is asked about; whom to send own jobs to, own people choose."""
    if partner is None:
        return frozenset()
    return frozenset(job.parties.keys() - {own} if proposed else {partner})


def _own_names(job: Job, found: Mapping[str, TableFacts]) -> set[str]:
    """Return the names of tables that were not made up for the job."""
    return {f.name for step, f in found.items() if job.steps[step].component != SYNTHETIC}


def _spent(partner: str) -> DeniedError:
    return DeniedError(
        "ATL-PLN-013",
        "this partner has caused as many looks at tables and models as it may for now",
        party=partner,
        hint="it may ask again later; jobs.partner_looks_per_hour states how many it may cause",
    )


def _apart(error: AtollError) -> DataError:
    """Return the refusal of a table that not all parties are sent facts of; they learn one code."""
    return DataError(
        "ATL-PLN-014",
        f"this party cannot bring a table that not all parties see ({error.code}: {error.message})",
        place=error.place,
        hint=error.hint,
    )


def _another(what: str, code: str, party: str, step: str) -> DataError:
    """Return the refusal of what is not what this party declared; partners learn one code."""
    return DataError(
        "ATL-PLN-011",
        f"the {what} here is another than this party declared for the job ({code})",
        party=party,
        place=f"steps.{step}",
        hint="refuse this job, and let it be submitted again",
    )


def _salted(identity: Identity, job: Job, step: str, facts: TableFacts) -> TableFacts:
    """Add what keeps others from trying tables against digests; the same for a job each time."""
    about = codec.encode([job.digest(), step])
    salt = hmac.digest(identity.secret(_SALTS), about, "sha256")
    return facts.model_copy(update={"salt": salt.hex()})


def encode_declaration(declaration: OwnDeclaration) -> bytes:
    """Return a declaration as bytes, for a plan that is only looked at."""
    received = Declaration(
        declaration.tables,
        declaration.components,
        declaration.certificate,
        declaration.parts or None,
    )
    return received.encoded


def decode_declaration(data: Buffer, party: str) -> OwnDeclaration:
    """Read a partner's declaration. Errors: ATL-PLN-005."""
    memory = codec.document_memory(DECLARATION_BYTES)
    value = codec.decode(data, limit=DECLARATION_BYTES, memory=memory)
    try:
        received = read(Declaration, value)
    except ValidationError as error:
        raise PeerError("ATL-PLN-005", "the declaration has another form", party=party) from error
    return OwnDeclaration(
        received.tables, received.components, received.certificate, received.parts or {}
    )
