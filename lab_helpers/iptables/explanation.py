"""What the rules do with the traffic of one Service port: a tree of chains with exact shares, and in words.

    kube-proxy: three endpoints  ->  rule 1: 1/3 of all, rule 2: 1/2 of the rest, rule 3: the rest; each gets 1/3

A share is meant for a new client that no `recent` list remembers and that comes from no address a rule singles out:
such rules are shown in the tree, marked `conditional`, and take no share. What happens to one given packet is left to
`evaluator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..errors import InvalidInput
from .model import Match, Rule, Ruleset
from .probability import exact

_ENTRY_CHAINS = (
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-NODEPORTS"),
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
)
_ENTRY_KINDS = (
    "cluster IP",
    "external IP",
    "loadbalancer IP",
    "has no endpoints",
    "has no local endpoints",
)
# Matches which every packet of the connection passes once its address and port are the Service's.
_NEUTRAL_MATCHES = frozenset({"comment", "tcp", "udp", "sctp", "nfacct", "statistic"})
_VERDICTS = frozenset({"ACCEPT", "DROP", "REJECT", "DNAT"})
_DEEPEST = 32
_MOST_BRANCHES = 50_000


@dataclass(frozen=True)
class Share:
    """One endpoint of a Service port and the part of new connections that it gets."""

    endpoint: str
    probability: Fraction
    chain: str


@dataclass(frozen=True)
class Branch:
    """One rule on the way of a Service's traffic and what it leads to."""

    chain: str
    rule: Rule
    leads_to: str
    """The chain or the verdict that the rule sends packets to."""
    chance: Fraction
    """The part of the packets that reach this rule which it takes."""
    share: Fraction
    """The part of all packets that came in at the tree's root."""
    conditional: bool
    """True if it only concerns some clients (by their address or by affinity) and is left out of the shares."""
    rest: bool
    """True if rules before it in its chain have taken their part already."""
    branches: tuple[Branch, ...] = ()

    @property
    def endpoint(self) -> str:
        """`IP:port` when the rule is the DNAT to an endpoint, else the empty string."""
        target = self.rule.target
        return target.value("--to-destination") if target and target.name == "DNAT" else ""

    @property
    def words(self) -> str:
        """The share in words: `1/2 of the rest, 1/3 of all`."""
        if self.conditional:
            return "only some packets"
        if self.chance == 1:
            return f"all the rest, {self.share} of all" if self.rest else "all"
        return f"{self.chance} of the rest, {self.share} of all" if self.rest else f"{self.chance}"

    def walk(self) -> Iterator[Branch]:
        """This branch and all below it, in the order of the rules."""
        yield self
        for branch in self.branches:
            yield from branch.walk()


@dataclass(frozen=True)
class Explanation:
    """All ways into one Service port: its cluster IP, node port, external and load balancer addresses."""

    service: str
    entries: tuple[Branch, ...]

    def text(self) -> str:
        """The tree as indented lines for a terminal."""
        if not self.entries:
            return f"{self.service}: no rule mentions it"
        lines = [self.service]
        for entry in self.entries:
            lines += _lines(entry, 1)
        return "\n".join(lines)


def service_port_names(ruleset: Ruleset) -> list[str]:
    """The Service ports that have rules, as kube-proxy names them: `namespace/service` or `namespace/service:port`."""
    names: dict[str, None] = {}
    for table, chain in _ENTRY_CHAINS:
        for rule in ruleset.rules(table, chain):
            name = _service_of(rule, chain)
            if name:
                names[name] = None
    return sorted(names)


def explain(ruleset: Ruleset, namespace: str, service: str, port_name: str = "") -> Explanation:
    """The chains of a Service port as a tree; without entries if no rule mentions the Service.

    `port_name` may be left out when the Service has one port only.
    """
    name = _resolve(ruleset, namespace, service, port_name)
    return Explanation(
        name, tuple(_Tree(ruleset, table).branch(chain, rule) for table, chain, rule in _entries(ruleset, name))
    )


def distribution(ruleset: Ruleset, namespace: str, service: str, port_name: str = "") -> list[Share]:
    """Which endpoints answer on a Service's cluster IP, each with its exact part of new connections.

        distribution(parse(cluster.iptables_save()), "default", "demo-service")
        -> [Share("10.244.0.3:80", Fraction(1, 3), "KUBE-SEP-..."), ...]

    In the order of the rules; empty if the Service is unknown or has no endpoints. `port_name` may be left out when
    the Service has one port only.
    """
    name = _resolve(ruleset, namespace, service, port_name)
    for rule in ruleset.rules("nat", "KUBE-SERVICES"):
        if rule.comment == f"{name} cluster IP":
            return [
                Share(branch.endpoint, branch.share, branch.chain)
                for branch in _Tree(ruleset, "nat").branch("KUBE-SERVICES", rule).walk()
                if branch.endpoint and not branch.conditional and branch.share
            ]
    return []


def _entries(ruleset: Ruleset, name: str) -> Iterator[tuple[str, str, Rule]]:
    for table, chain in _ENTRY_CHAINS:
        for rule in ruleset.rules(table, chain):
            if _service_of(rule, chain) == name:
                yield table, chain, rule


def _resolve(ruleset: Ruleset, namespace: str, service: str, port_name: str) -> str:
    plain = f"{namespace}/{service}"
    if port_name:
        return f"{plain}:{port_name}"
    candidates = [name for name in service_port_names(ruleset) if name == plain or name.startswith(plain + ":")]
    if len(candidates) > 1:
        ports = ", ".join(name.partition(":")[2] for name in candidates)
        raise InvalidInput(f"Service {plain} has several ports: {ports}.", hint="Say which one is meant.")
    return candidates[0] if candidates else plain


def _service_of(rule: Rule, chain: str) -> str:
    comment = rule.comment
    if chain == "KUBE-NODEPORTS":
        return comment
    for kind in _ENTRY_KINDS:
        if comment.endswith(" " + kind):
            return comment[: -len(kind) - 1]
    return ""


class _Tree:
    """Follows the jumps of one table; a budget keeps rules made to branch endlessly from doing so."""

    def __init__(self, ruleset: Ruleset, table: str) -> None:
        self.ruleset = ruleset
        self.table = table
        self.budget = _MOST_BRANCHES

    def branch(self, chain: str, rule: Rule) -> Branch:
        """The tree below one rule by which the Service's packets come in."""
        below = self._chain(rule.jump, Fraction(1), conditional=False, depth=1)
        return Branch(chain, rule, rule.jump, Fraction(1), Fraction(1), conditional=False, rest=False, branches=below)

    def _chain(self, chain: str, share: Fraction, *, conditional: bool, depth: int) -> tuple[Branch, ...]:
        """The rules of a chain as branches; `share` of all packets comes in at the top."""
        rules = self.ruleset.rules(self.table, chain)
        self.budget -= len(rules)
        if depth > _DEEPEST or self.budget < 0:
            raise InvalidInput(f"The rules can't be shown as a tree: chain {chain} leads too deep or back to itself.")
        left = share
        branches = []
        for rule in rules:
            only_some = conditional or not _concerns_all(rule)
            chance = _chance(rule)
            part = left * chance
            below = self._chain(rule.jump, part, conditional=only_some, depth=depth + 1)
            branches.append(Branch(chain, rule, rule.jump, chance, part, only_some, left < share, below))
            if not only_some and _ends(rule, below):
                left -= part
        return tuple(branches)


def _concerns_all(rule: Rule) -> bool:
    return rule.source is None and rule.in_interface is None and all(_is_neutral(match) for match in rule.matches)


def _is_neutral(match: Match) -> bool:
    # `recent --set` takes note of every client; the other forms ask for one.
    return match.name in _NEUTRAL_MATCHES or (match.name == "recent" and match.option("--set") is not None)


def _chance(rule: Rule) -> Fraction:
    match = rule.match("statistic")
    return exact(match.value("--probability")) if match and match.option("--probability") else Fraction(1)


def _ends(rule: Rule, below: tuple[Branch, ...]) -> bool:
    """True if a packet that the rule takes does not come back to the next rule."""
    if rule.jump in _VERDICTS:
        return True
    return any(not b.conditional and b.chance == 1 and _ends(b.rule, b.branches) for b in below)


def _lines(branch: Branch, depth: int) -> list[str]:
    where = branch.endpoint and f"{branch.leads_to} to {branch.endpoint}"
    what = where or branch.leads_to or "counts only"
    comment = f"  # {branch.rule.comment}" if branch.rule.comment else ""
    line = f"{'  ' * depth}{branch.chain} -> {what} ({branch.words}){comment}"
    return [line, *(text for below in branch.branches for text in _lines(below, depth + 1))]
