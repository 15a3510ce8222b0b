"""Runs a command where user namespaces are forbidden, as on mybinder.org: `python -m tests.without_namespaces CMD...`.

It enters a user namespace in which the limit of further ones is 0, and gives up what could get around that. As root of
the machine it becomes the user `SERVICELAB_AS` (a user id) first, if that is set.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab_helpers.pocketkube import linux, sandbox
from lab_helpers.pocketkube.linux import Namespace


def enter() -> None:
    """Forbids namespaces to this process and all that it starts. Raises OSError where it can't."""
    user, group = os.geteuid(), os.getegid()
    wanted = int(os.environ.get("SERVICELAB_AS") or user)
    if user == 0 and sandbox._unshare_with_all_users():
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        if wanted:
            os.setgroups([])
            os.setresgid(wanted, wanted, wanted)
            os.setresuid(wanted, wanted, wanted)
    else:
        linux.unshare(Namespace.USER)
        linux.become_root(user, group)
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    if os.geteuid() == 0:
        linux.bound_capabilities(())
        linux.keep_capabilities(())


def main() -> None:
    """Enters, and becomes the command."""
    enter()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
