"""`/healthz`, `/livez` and `/readyz`: named checks, one by one or together.

Models apiserver pkg/server/healthz (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

Check = Callable[[], bool | str]
"""True if all is well; else False, or a text that says what is wrong."""

Checks = Mapping[str, Check]


def single_check(name: str, check: Check) -> tuple[bool, str]:
    """What `/livez/<name>` says of one check."""
    found = check()
    if found is True:
        return True, "ok"
    return False, f"internal server error: {found or f'{name} is not ready'}\n"


def health_report(root: str, checks: Checks, *, verbose: bool, excluded: Collection[str] = ()) -> tuple[bool, str]:
    """Whether all checks pass, and the text that says so: `ok`, or a line for each."""
    lines = []
    healthy = True
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
        elif (found := check()) is True:
            lines.append(f"[+]{name} ok")
        else:
            healthy = False
            lines.append(f"[-]{name} failed: {found or 'reason withheld'}")
    unknown = [name for name in excluded if name not in checks]
    if unknown:
        names = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    if healthy and not verbose:
        return True, "ok"
    lines.append(f"{root} check {'passed' if healthy else 'failed'}\n")
    return healthy, "\n".join(lines)
