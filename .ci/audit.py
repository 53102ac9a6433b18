"""Look up the pinned packages among the known vulnerabilities of osv.dev, as pip-audit does.

    python3 .ci/audit.py [CONSTRAINTS]

Exit status 1 if one of them is known to be vulnerable and not in ACCEPTED. Without a connection it says so and exits 0:
then nothing is known. Python's standard library is all it needs.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

SERVER = os.environ.get("INVRIM_OSV", "https://api.osv.dev")
ACCEPTED: dict[str, str] = {}
"""Identifier of a vulnerability -> why it does not matter here."""
SECONDS = 20


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "constraints.txt"
    pins = pins_of(path.read_text(encoding="utf-8"))
    try:
        found = vulnerabilities(pins)
    except (OSError, ValueError) as error:  # of urllib, too
        print(f"notice: {path.name} was not checked for known vulnerabilities: no answer from {SERVER} ({error})")
        return 0
    open_ones = [(pin, name) for pin, name in found if name not in ACCEPTED]
    for (package, version), name in open_ones:
        print(f"{package} {version} is known to be vulnerable: https://osv.dev/vulnerability/{name}")
    accepted = len(found) - len(open_ones)
    print(f"{len(pins)} pinned packages, {len(open_ones)} known vulnerabilities, {accepted} accepted")
    return 1 if open_ones else 0


def pins_of(text: str) -> list[tuple[str, str]]:
    """Names and versions of ``name==version`` lines."""
    return re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;#]+)", text, re.MULTILINE)


def vulnerabilities(pins: list[tuple[str, str]]) -> list[tuple[tuple[str, str], str]]:
    """Which pins have which vulnerabilities."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pins]
    request = urllib.request.Request(
        f"{SERVER}/v1/querybatch",
        data=json.dumps({"queries": queries}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        results = json.load(answer).get("results", [])
    if len(results) != len(pins):
        raise ValueError(f"{len(results)} answers for {len(pins)} questions")
    both = zip(pins, results, strict=True)
    return [(pin, one["id"]) for pin, result in both for one in (result or {}).get("vulns", [])]


if __name__ == "__main__":
    sys.exit(main())
