"""What this node declares for a job: its tables, its components' code, its certificate."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from atoll.channel.api import Buffer
from atoll.channel.identity import Identity
from atoll.components.api import Catalogue, Tables
from atoll.components.references import Lookup
from atoll.components.synthetic import NAME as SYNTHETIC
from atoll.core import codec
from atoll.core.errors import PeerError, UserError
from atoll.core.strict import read
from atoll.flow import planning
from atoll.flow.control.facts import Declaration
from atoll.flow.planning import component_facts, no_registry
from atoll.jobs.audience import Audience, shown
from atoll.jobs.definition import Job
from atoll.jobs.plan import ComponentFacts, Plan, TableFacts

DECLARATION_BYTES = 8 << 20
_SALTS = "salts of table facts"


@dataclass(frozen=True)
class OwnDeclaration:
    """A declaration: table facts by step, code by component, the certificate (PEM).

    ``audience`` says who is sent the tables' facts of a step, where that is not every party.
    """

    tables: Mapping[str, TableFacts]
    components: Mapping[str, ComponentFacts]
    certificate: bytes
    audience: Audience = field(default_factory=dict)

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
    ) -> None:
        """``tables`` returns the own ones; what it is given is asked before one is looked for.

        ``guard`` raises if a partner may not even be sent facts of these tables (by name).
        ``part`` returns the own part of a registered model.
        """
        self._guard = guard
        self._part = part
        self._identity = identity
        self._catalogue = catalogue
        self._tables = tables

    def check(self, job: Job) -> None:
        """Check a job without opening a table. Errors: those of ``planning.check``, ATL-PTY-012."""
        identity = self._identity()
        planning.check(job, self._catalogue())
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

    def declare(self, job: Job, partner: str | None = None) -> OwnDeclaration:
        """Return what is sent to the parties, and to whom; ``partner`` asks, if not we.

        Errors: those of ``check``, of the tables, and of the guard; for an own job those of
        ``verify``, too.
        """
        self.check(job)
        identity, catalogue = self._identity(), self._catalogue()
        tables = self._tables(lambda name: self._look(partner, name))
        made = planning.declare(job, catalogue, identity.party, tables)
        found = {step: declared.facts for step, declared in made.items()}
        if partner is None:
            planning.verify(job, catalogue, identity.party, made, self._part)
        if partner is not None:
            own = {f.name for step, f in found.items() if job.steps[step].component != SYNTHETIC}
            self._guard(partner, own)
        declaration = planning.audience_of(job, catalogue)
        salted = {
            step: _salted(identity, job, step, f)
            for step, f in found.items()
            if step in declaration
        }
        return OwnDeclaration(
            {**found, **salted}, component_facts(job, catalogue), identity.certificate, declaration
        )

    def _look(self, partner: str | None, name: str) -> None:
        """Refuse a partner before its error can say whether there is such a table or column."""
        if partner is not None:
            self._guard(partner, {name})

    def verify(self, plan: Plan) -> None:
        """Check a plan against what this party alone can see, before it is agreed to.

        Errors: those of the tables and of ``planning.verify``.
        """
        party, catalogue = self._identity().party, self._catalogue()
        tables = self._tables(lambda name: None)
        made = planning.declare(plan.job, catalogue, party, tables)
        planning.verify(plan.job, catalogue, party, made, self._part, plan.tables, plan.hidden)


def _salted(identity: Identity, job: Job, step: str, facts: TableFacts) -> TableFacts:
    """Add what keeps others from trying tables against digests; the same for a job each time."""
    about = codec.encode([job.digest(), step])
    salt = hmac.digest(identity.secret(_SALTS), about, "sha256")
    return facts.model_copy(update={"salt": salt.hex()})


def encode_declaration(declaration: OwnDeclaration) -> bytes:
    """Return a declaration as bytes, for a plan that is only looked at."""
    received = Declaration(declaration.tables, declaration.components, declaration.certificate)
    return received.encoded


def decode_declaration(data: Buffer, party: str) -> OwnDeclaration:
    """Read a partner's declaration. Errors: ATL-PLN-005."""
    memory = codec.document_memory(DECLARATION_BYTES)
    value = codec.decode(data, limit=DECLARATION_BYTES, memory=memory)
    try:
        received = read(Declaration, value)
    except ValidationError as error:
        raise PeerError("ATL-PLN-005", "the declaration has another form", party=party) from error
    return OwnDeclaration(received.tables, received.components, received.certificate)
