"""Whether a Pod fits the company it would have: Pod affinity, anti-affinity and topology spread. Pure functions.

A topology key is a label of nodes, such as `kubernetes.io/hostname`; nodes with the same value are one domain. What a
Pod wants of its neighbours, it wants of all Pods in the domain.
Models pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread} (v1.36).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .api.selectors import compile_label_selector
from .node_fit import Reason, selection_reason
from .objects import Obj, is_deleting, labels_of, name_of, namespace_of
from .resources.taints import taints_of, untolerated

_AFFINITY = Reason("node(s) didn't match pod affinity rules", helpless=True)
_ANTI_AFFINITY = Reason("node(s) didn't match pod anti-affinity rules")
_OTHERS_ANTI_AFFINITY = Reason("node(s) didn't satisfy existing pods anti-affinity rules")
_SPREAD = Reason("node(s) didn't match pod topology spread constraints")
_SPREAD_NO_LABEL = Reason(f"{_SPREAD.text} (missing required label)", helpless=True)

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class Snapshot:
    """The nodes, the Pods that take up room on each, and the labels of the namespaces."""

    nodes: list[Obj]
    pods: dict[str, list[Obj]]
    namespaces: dict[str, dict[str, str]]

    def on(self, node: Obj) -> list[Obj]:
        """The Pods of a node."""
        return self.pods.get(name_of(node), [])

    def everywhere(self) -> Iterator[tuple[Obj, Obj]]:
        """Every (node, Pod on it)."""
        return ((node, pod) for node in self.nodes for pod in self.on(node))

    def with_pods(self, node: Obj, pods: list[Obj]) -> Snapshot:
        """The same, but with these Pods on that node."""
        return Snapshot(self.nodes, {**self.pods, name_of(node): pods}, self.namespaces)


def has_company_rules(pod: Obj) -> bool:
    """True if other Pods can make room for it merely by being somewhere."""
    affinity = pod["spec"].get("affinity") or {}
    return bool(affinity.get("podAffinity") or pod["spec"].get("topologySpreadConstraints"))


class _Term:
    """One term of an affinity: which Pods it means, and in which topology."""

    def __init__(self, term: Obj, pod: Obj) -> None:
        self.key: str = term["topologyKey"]
        self._matches = _matcher(term, pod)
        self._namespaces: set[str] = set(term.get("namespaces") or [])
        chosen = term.get("namespaceSelector")
        self._namespace_selector = None if chosen is None else compile_label_selector(chosen)
        if not self._namespaces and chosen is None:
            self._namespaces = {namespace_of(pod)}

    def means(self, pod: Obj, snapshot: Snapshot) -> bool:
        """True if the Pod is one of those that the term is about."""
        if not self._matches(pod):
            return False
        namespace = namespace_of(pod)
        if namespace in self._namespaces:
            return True
        selector = self._namespace_selector
        return selector is not None and selector.matches(snapshot.namespaces.get(namespace, {}))


def _matcher(holder: Obj, pod: Obj) -> Callable[[Obj], bool]:
    """What `labelSelector` means, with the Pod's own value for each of `matchLabelKeys`. Without one: nobody."""
    given = holder.get("labelSelector")
    if given is None:
        return lambda other: False
    own = {key: labels_of(pod)[key] for key in holder.get("matchLabelKeys") or [] if key in labels_of(pod)}
    selector = compile_label_selector({**given, "matchLabels": {**(given.get("matchLabels") or {}), **own}})
    return lambda other: selector.matches(labels_of(other))


def _terms(pod: Obj, kind: str) -> list[_Term]:
    affinity = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return [_Term(term, pod) for term in affinity.get(_REQUIRED) or []]


def company_reasons(pod: Obj, node: Obj, snapshot: Snapshot) -> list[Reason]:
    """Why the Pod can't be among the Pods of this node's domains; the first rule that says no is heard."""
    return spread_reasons(pod, node, snapshot) or _affinity_reasons(pod, node, snapshot)


def _affinity_reasons(pod: Obj, node: Obj, snapshot: Snapshot) -> list[Reason]:
    wanted = _terms(pod, "podAffinity")
    if wanted and not _is_in_company(pod, wanted, node, snapshot):
        return [_AFFINITY]
    for term in _terms(pod, "podAntiAffinity"):
        if any(
            _same_domain(term.key, node, there) and term.means(other, snapshot)
            for there, other in snapshot.everywhere()
        ):
            return [_ANTI_AFFINITY]
    for there, other in snapshot.everywhere():
        for term in _terms(other, "podAntiAffinity"):
            if _same_domain(term.key, node, there) and term.means(pod, snapshot):
                return [_OTHERS_ANTI_AFFINITY]
    return []


def _is_in_company(pod: Obj, terms: list[_Term], node: Obj, snapshot: Snapshot) -> bool:
    if not all(term.key in labels_of(node) for term in terms):
        return False
    meant = [
        (there, other) for there, other in snapshot.everywhere() if all(term.means(other, snapshot) for term in terms)
    ]
    if all(any(_same_domain(term.key, node, there) for there, _ in meant) for term in terms):
        return True
    # The first of a group that wants to be together has nobody to join.
    return not meant and all(term.means(pod, snapshot) for term in terms)


def _same_domain(key: str, one: Obj, other: Obj) -> bool:
    value = labels_of(one).get(key)
    return value is not None and value == labels_of(other).get(key)


def spread_reasons(pod: Obj, node: Obj, snapshot: Snapshot) -> list[Reason]:
    """Why the Pod would be one too many in the node's domain."""
    constraints = _constraints(pod, "DoNotSchedule")
    for constraint in constraints:
        if constraint["topologyKey"] not in labels_of(node):
            return [_SPREAD_NO_LABEL]
    for constraint in constraints:
        if _skew(pod, node, constraint, constraints, snapshot) > int(constraint["maxSkew"]):
            return [_SPREAD]
    return []


def _constraints(pod: Obj, when: str) -> list[Obj]:
    found = pod["spec"].get("topologySpreadConstraints") or []
    return [constraint for constraint in found if constraint.get("whenUnsatisfiable") == when]


def _skew(pod: Obj, node: Obj, constraint: Obj, constraints: list[Obj], snapshot: Snapshot) -> int:
    """How many more than the emptiest domain this one would have."""
    key, matches = constraint["topologyKey"], _matcher(constraint, pod)
    counts: Counter[str] = Counter()
    for other in snapshot.nodes:
        if not all(each["topologyKey"] in labels_of(other) for each in constraints):
            continue
        if not _counts(pod, other, constraint):
            continue
        counts[labels_of(other)[key]] += sum(matches(there) and _is_kin(pod, there) for there in snapshot.on(other))
    least = min(counts.values(), default=0)
    if len(counts) < int(constraint.get("minDomains") or 1):
        least = 0
    own = matches(pod)
    return counts[labels_of(node)[key]] + own - least


def _counts(pod: Obj, node: Obj, constraint: Obj) -> bool:
    """True if the node is one where the Pod could be at all, as the constraint's policies see it."""
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and selection_reason(pod, node):
        return False
    honors_taints = constraint.get("nodeTaintsPolicy", "Ignore") == "Honor"
    return not (honors_taints and untolerated(pod, taints_of(node), ("NoSchedule", "NoExecute")))


def _is_kin(pod: Obj, other: Obj) -> bool:
    return namespace_of(other) == namespace_of(pod) and not is_deleting(other)


def company_preference(pod: Obj, node: Obj, snapshot: Snapshot) -> int:
    """How much the Pod would like this node for its company: weights of preferred terms, less the soft skew."""
    liking = 0
    affinity = pod["spec"].get("affinity") or {}
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for weighted in (affinity.get(kind) or {}).get(_PREFERRED) or []:
            term = _Term(weighted["podAffinityTerm"], pod)
            liking += sign * int(weighted["weight"]) * sum(_neighbours(term, node, snapshot))
    soft = _constraints(pod, "ScheduleAnyway")
    for constraint in soft:
        if constraint["topologyKey"] in labels_of(node):
            liking -= _skew(pod, node, constraint, soft, snapshot)
    return liking


def _neighbours(term: _Term, node: Obj, snapshot: Snapshot) -> Iterable[bool]:
    return (
        _same_domain(term.key, node, there) and term.means(other, snapshot) for there, other in snapshot.everywhere()
    )
