"""No dependency of the default install is under a copyleft licence of the GPL family."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator

from packaging.requirements import Requirement

from tools.common import ROOT, Finding, report

COPYLEFT = re.compile(r"\b[AL]?GPL|GNU (Affero|Lesser|General)", re.IGNORECASE)


def refused(expression: str) -> bool:
    """Return whether a licence expression leaves no choice but one of the GPL family."""
    alternatives = re.split(r"\bOR\b|/", expression)
    return all(COPYLEFT.search(alternative) for alternative in alternatives)


def installed_closure(root: str) -> Iterator[importlib.metadata.Distribution]:
    """Return a distribution and all that it needs, without extras."""
    waiting, seen = [root], set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        yield found
        for line in found.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)


def licence_of(distribution: importlib.metadata.Distribution) -> str:
    """Return a distribution's licence: expression, classifiers or first line."""
    fields = distribution.metadata
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [c for c in fields.get_all("Classifier") or [] if c.startswith("License ::")]
    text = "\n".join(fields.get_all("License") or []).strip()
    return " OR ".join(classifiers) or text.partition("\n")[0]


def python_findings() -> Iterator[Finding]:
    """Find Python dependencies with a refused or an unknown licence."""
    for found in installed_closure("atoll"):
        licence, name = licence_of(found), found.metadata["Name"]
        if not licence:
            yield Finding("uv.lock", 1, f"{name} does not state its licence")
        elif refused(licence):
            yield Finding("uv.lock", 1, f"{name} is under {licence}")


def rust_findings() -> Iterator[Finding]:
    """Find crates with a refused or an unknown licence."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    output = subprocess.run(command, cwd=ROOT / "native", check=True, capture_output=True).stdout
    for package in json.loads(output)["packages"]:
        licence = package["license"] or package["license_file"] or ""
        if not licence or refused(licence):
            name = package["name"]
            yield Finding("native/Cargo.lock", 1, f"{name} is under {licence or 'no licence'}")


def main() -> int:
    """Check both locks."""
    return report([*python_findings(), *rust_findings()], "no GPL, LGPL or AGPL code at run time")


if __name__ == "__main__":
    sys.exit(main())
