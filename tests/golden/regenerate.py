"""Write the golden files: `PYTHONPATH=. python tests/golden/regenerate.py [--force]`.

Writes what is missing. A file that would change is only overwritten with --force, and never while
RENDERER_VERSION is the one that its bytes are recorded under: stored runs were made with them.
"""

import hashlib
import json
import sys

from exporters.run_renderer import RENDERER_VERSION
from tests.golden.case import VERSIONS_FILE, Case, cases


def main() -> int:
    """Write every case, or say why one was refused."""
    force = sys.argv[1:] == ["--force"]
    versions: dict[str, dict[str, str]] = json.loads(VERSIONS_FILE.read_text("utf-8"))
    recorded = versions.setdefault(RENDERER_VERSION, {})
    refusals = [refusal for case in cases() if (refusal := write(case, recorded, force=force))]
    VERSIONS_FILE.write_text(json.dumps(versions, indent=2, sort_keys=True) + "\n", "utf-8")
    sys.stdout.writelines(f"{refusal}\n" for refusal in refusals)
    return 1 if refusals else 0


def write(case: Case, recorded: dict[str, str], *, force: bool) -> str | None:
    """Write one case's expected bytes and record their hash; give the reason if refused."""
    data, _ = case.render()
    sha256 = hashlib.sha256(data).hexdigest()
    if recorded.get(case.name, sha256) != sha256:
        return f"{case.name}: the bytes changed; raise RENDERER_VERSION above {RENDERER_VERSION}."
    if case.expected_file.exists() and case.expected_file.read_bytes() != data and not force:
        return f"{case.name}: the bytes changed; look at the difference, then use --force."
    case.expected_file.write_bytes(data)
    recorded[case.name] = sha256
    return None


if __name__ == "__main__":
    sys.exit(main())
