"""The program of the image `agnhost`: a stand-in for the server and toolbox of Kubernetes' own tests.

It has the subcommands that lessons about networks use, with their flags and their answers; the others say how to get
the real program. Models test/images/agnhost (v1.36).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import agnhost_netexec, agnhost_servers, agnhost_tools
from .agnhost_flags import UsageError, complain, parse, usage

VERSION = "2.63.0"
COMMANDS = {
    command.name: command for command in (*agnhost_tools.COMMANDS, *agnhost_servers.COMMANDS, agnhost_netexec.COMMAND)
}
ELSEWHERE = (
    "audit-proxy", "crd-conversion-webhook", "external-metrics", "fake-gitserver", "fake-registry-server",
    "grpc-health-checking", "guestbook", "inclusterclient", "mtlsclient", "mtlsserver", "net", "no-snat-test",
    "no-snat-test-proxy", "nonewprivs", "podcertificatesigner", "port-forward-tester", "resource-consumer-controller",
    "stress", "tcp-reset", "test-service-account-issuer-discovery", "webhook",
)  # fmt: skip
"""What the real program has beside."""
ABOUT = "ServiceLab's small stand-in for agnhost (simulated)"
_GLOBAL_FLAGS = ("-v", "--v", "--vmodule", "--log-flush-frequency", "--log_flush_frequency")


def main(argv: Sequence[str]) -> int:
    """Runs one subcommand."""
    words = _without_global_flags(list(argv[1:]))
    name = words.pop(0) if words else ""
    if name == "help" and words:
        name, words = words[0], ["--help"]
    if name in ("", "help", "-h", "--help"):
        print(_overview())
        return 0
    if name == "--version":
        print(f"app version {VERSION} ({ABOUT})")
        return 0
    command = COMMANDS.get(name)
    if command is None:
        return complain(UsageError(_unknown(name)))
    if "--help" in words or "-h" in words:
        print(f"{ABOUT}: {command.short}.\n\n{usage(command)}")
        return 0
    try:
        flags, arguments = parse(command, words)
    except UsageError as error:
        return complain(error)
    return command.run(flags, arguments)


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 3
    lines = [f"  {name.ljust(width)}{COMMANDS[name].short}" for name in sorted(COMMANDS)]
    return (
        f"{ABOUT}.\n\nUsage:\n  app [command]\n\nAvailable Commands:\n" + "\n".join(lines) + "\n\n"
        "The real program has more. To use it: servicelab image add agnhost --from ./agnhost"
    )


def _unknown(name: str) -> str:
    if name in ELSEWHERE:
        return (
            f'"{name}" is not part of {ABOUT}; '
            "add the real program: servicelab image add agnhost --from ./agnhost --cmd pause"
        )
    return f'unknown command "{name}" for "app"'


def _without_global_flags(words: list[str]) -> list[str]:
    """Flags of the log, wherever they stand, change nothing here."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
            continue
        name, equals, _ = word.partition("=")
        if name in _GLOBAL_FLAGS:
            skip = not equals
            continue
        kept.append(word)
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv))
