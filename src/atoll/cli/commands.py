"""The commands of ``atoll``: where each is, and what it does in a line. Nothing is imported."""

from __future__ import annotations

COMMANDS = {
    "demo": ("atoll.cli.demo.command", "two parties on this machine: intersect, train, evaluate"),
    "init": ("atoll.cli.node.init", "make a node: folder, keys, settings, first user"),
    "up": ("atoll.cli.node.up", "start this machine's node"),
    "down": ("atoll.cli.node.down", "stop it"),
    "restart": ("atoll.cli.node.restart", "stop it and start it again"),
    "status": ("atoll.cli.node.status", "show how it does"),
    "doctor": ("atoll.cli.node.doctor", "look for what usually goes wrong"),
    "selftest": ("atoll.cli.selftest", "run a small job, alone or with partners"),
    "config": ("atoll.cli.node.config", "show settings and where each comes from"),
    "admin": ("atoll.cli.admin", "back up, restore, migrate, prune"),
    "login": ("atoll.cli.login:login", "make a connection to a node, with a password"),
    "logout": ("atoll.cli.login:logout", "end a connection"),
    "whoami": ("atoll.cli.login:whoami", "show who you are to the node"),
    "user": ("atoll.cli.user", "people and what they may do"),
    "token": ("atoll.cli.token", "tokens for programs"),
    "party": ("atoll.cli.party", "partners: invite, trust, ping, revoke; your keys"),
    "data": ("atoll.cli.data", "tables: check, register, grant, preview"),
    "job": ("atoll.cli.job.group", "jobs: plan, submit, watch, approve, stop"),
    "model": ("atoll.cli.model", "models: show, publish, bind, export, predict"),
    "agreement": ("atoll.cli.agreement", "standing agreements: propose, show, score rows, end"),
    "population": ("atoll.cli.population", "clients that dial out: invite, serve, train, remove"),
    "client": ("atoll.cli.client.group", "be such a client: join, train, leave"),
    "component": ("atoll.cli.component", "algorithms: list, approve, write your own"),
    "report": ("atoll.cli.report", "draw report files on one HTML page"),
    "ledger": ("atoll.cli.ledger", "what was agreed to and revealed"),
    "audit": ("atoll.cli.audit", "who did what on this node"),
    "schema": ("atoll.cli.schema", "JSON Schemas of what commands print and files hold"),
    "completion": ("atoll.cli.completion", "completion for bash, zsh and fish"),
}
