"""Ask advisory services for known vulnerabilities of requirements.lock, by pip-audit in an environment of its own.

Exits with 0 where every locked package was looked up and nothing is known, 1 where something is, and 2 where packages
could not be looked up: pip-audit itself passes over these and calls it a success.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parent / "requirements.lock"
# The second is asked only where the first does not know every package.
SERVICES = ("pypi", "osv")


def ask(service: str) -> list[dict[str, Any]]:
    """What a service knows of each package of the lock; empty where it was not reached."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["dependencies"]
    except ValueError:
        said = done.stderr.strip().splitlines() or ["no answer"]
        print(f"{service} was not reached: {said[-1][:200]}")
        return []


def audit() -> int:
    """Print what is known.

    Returns:
        The exit code, see above.
    """
    wanted = {line.split("==")[0] for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line}
    found: dict[str, dict[str, Any]] = {}
    for service in SERVICES:
        if wanted - set(found):
            found |= {entry["name"]: entry for entry in ask(service) if "skip_reason" not in entry}
    for name, entry in found.items():
        for known in entry["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            print(f"{name} {entry['version']}: {known['id']}, mended in {fixed}")
    unknown = sorted(wanted - set(found))
    vulnerable = [name for name, entry in found.items() if entry["vulns"]]
    print(f"{len(wanted) - len(unknown)} of {len(wanted)} packages were looked up, {len(vulnerable)} are vulnerable")
    if vulnerable:
        print("Raise their pins in envs/requirements.in, or add them there where they are not, and run `make lock`")
        return 1
    if unknown:
        print(f"Not audited: {shortened(unknown)}. Call this where the advisory services can be reached")
        return 2
    return 0


def shortened(names: list[str], most: int = 5) -> str:
    """The first of the names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


if __name__ == "__main__":
    sys.exit(audit())
