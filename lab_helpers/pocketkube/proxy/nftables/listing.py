"""What `nft list table ip kube-proxy` says a kernel has: how many rules in each chain, elements in each set or map.

Counting finds what people do to a table: deleting it, flushing a chain, adding or deleting a rule or an element.
"""

from __future__ import annotations

import re

from .naming import AFFINITY

_BEGINNING = re.compile(r"\t(chain|set|map) (\S+) \{")
_NO_RULE = ("type ", "comment ")

Counts = dict[str, int]
"""By `chain NAME`, `set NAME` or `map NAME`."""


def names(listed: str, kind: str) -> set[str]:
    """Names of all chains, sets or maps."""
    return {match[2] for match in _BEGINNING.finditer(listed) if match[1] == kind}


def counts(listed: str) -> Counts:
    """How much is in each of them. What affinity sets hold is the packets' business."""
    found: Counts = {}
    current, kind, in_elements = "", "", False
    for line in listed.splitlines():
        beginning = _BEGINNING.fullmatch(line)
        if beginning:
            kind, current, in_elements = beginning[1], f"{beginning[1]} {beginning[2]}", False
            if not beginning[2].startswith(AFFINITY):
                found[current] = 0
        elif line == "\t}" or current not in found:
            continue
        elif kind == "chain":
            found[current] += line.startswith("\t\t") and not line.strip().startswith(_NO_RULE)
        else:
            in_elements = in_elements or line.strip().startswith("elements = ")
            if in_elements:
                found[current] += line.count(",") + line.rstrip().endswith("}")
    return found
