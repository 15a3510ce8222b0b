"""The canonical form of a rule is the form in which the kernel gives it back, from both back ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab_helpers.iptables import Ruleset, Tables, canonical, parse

TEXT = """*filter
:A - [0:0]
:B - [0:0]
-A A -m recent --name LIST --rcheck --seconds 10800 --reap -j B
-A A -m comment --comment a/b -m recent --name LIST --set -m tcp -p tcp -j ACCEPT
-A A -m comment --comment "-x" -m mark --mark 0x00004000/0x00004000 -j REJECT
-A A -m comment --comment "it's \\"so\\"" -m statistic --mode random --probability 0.3333333333 -j B
-A A -p udp -m udp --sport 1:5 --dport 7:7 -j REJECT
-A A -m addrtype --dst-type LOCAL -m addrtype ! --src-type LOCAL -s 10.1.2.3/8 -j MARK --or-mark 0x00004000
-A A -m conntrack ! --ctstate DNAT,NEW,ESTABLISHED -p 6 -i eth+ ! -o lo -g B
-A A -p tcp --syn -j MARK --xor-mark 0x00004000
-I A 1 -m mark --mark 7
-A A -p tcp -m tcp -m comment --comment x --dport 80 ! -s 10.0.0.0/16 -j ACCEPT
-A A -s 0.0.0.0/0 -d 10.0.0.9 -j MARK --set-mark 0x1/0xf
-D A -m mark --mark 0x7
COMMIT
*nat
:A - [0:0]
-A A -m comment --comment "kubernetes" -j MASQUERADE --random-fully
-A A -p tcp -m tcp -j DNAT --to-destination 1.2.3.4:5
COMMIT
"""


@pytest.mark.kernel
@pytest.mark.usefixtures("administrators_path")
@pytest.mark.parametrize("back_end", ["nft", "legacy"])
def test_the_kernel_gives_rules_back_in_their_canonical_form(back_end: str, tmp_path: Path) -> None:
    # Without -t the legacy tool reads a list of tables in /proc that only the host's root may read.
    save = f"iptables-{back_end}-save -t"
    commands = f"iptables-{back_end}-restore --noflush && {save} filter && {save} nat"
    saved = subprocess.run(
        ["unshare", "-Urn", "sh", "-c", commands],
        input=TEXT,
        env={**os.environ, "XTABLES_LOCKFILE": str(tmp_path / "lock")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    tables = Tables()
    tables.restore(TEXT)
    kernel = canonical(parse(saved)).tables
    assert kernel == {name: canonical(Ruleset(tables.ruleset.tables)).tables[name] for name in kernel}
    assert kernel == dict(parse(saved).tables)
