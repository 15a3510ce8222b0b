"""CustomResourceDefinitions: defaults, what is wrong with one, and whether its names are free.

A definition whose names nobody has is served as soon as it is stored; upstream's controllers need a moment for that.
Rules in CEL are kept and not evaluated, conversion by webhooks is refused.
Models apiextensions-apiserver pkg/apis/apiextensions/{v1/defaults.go,validation} and pkg/controller/status (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..api.status import Cause, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj, name_of
from ..resources.causes import invalid_each
from ..resources.metadata import validate_immutable
from ..resources.naming import label_problems, subdomain_problems
from ..resources.strategy import Strategy
from ..store import Store
from .definition import DEFINITIONS

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_NOT_EVALUATED = "this cluster does not evaluate rules in CEL: x-kubernetes-validations are stored and check nothing"
_NO_SCALE = "this cluster does not serve the scale subresource of custom resources"
_TYPES = ("array", "boolean", "integer", "number", "object", "string")


class DefinitionStrategy(Strategy):
    """A definition of a custom kind."""

    tracks_generation = True

    def __init__(self, store: Store, now: Callable[[], str]) -> None:
        self._store = store
        self._now = now

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_CustomResourceDefinition."""
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = names.get("kind") or ""
        if not names.get("singular"):
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = f"{kind}List"
        spec.setdefault("conversion", {"strategy": "None"})

    def prepare_for_create(self, obj: Obj) -> None:
        """Its names are taken if they are free."""
        stored = [version["name"] for version in obj["spec"].get("versions") or [] if version.get("storage")]
        obj["status"] = {"storedVersions": stored[:1]}
        obj["status"] |= self.judged(obj)

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """Another version may be the one to store from now on."""
        super().prepare_for_update(new, old)
        status = dict(old.get("status") or {})
        stored = [version["name"] for version in new["spec"].get("versions") or [] if version.get("storage")]
        before = status.get("storedVersions") or []
        status["storedVersions"] = [*before, *(name for name in stored if name not in before)]
        new["status"] = status
        new["status"] = {**status, **self.judged(new)}

    def judged(self, obj: Obj) -> Obj:
        """The accepted names and the conditions, as they follow from what else is defined."""
        names, status = obj["spec"]["names"], obj.get("status") or {}
        problem = self._conflict(obj)
        accepted = (status.get("acceptedNames") or {"plural": "", "kind": ""}) if problem else dict(names)
        before = {condition.get("type", ""): condition for condition in status.get("conditions") or []}
        names_accepted = ("False", *problem) if problem else ("True", "NoConflicts", "no conflicts found")
        wanted = [("NamesAccepted", *names_accepted)]
        if not problem or (before.get("Established") or {}).get("status") == "True":
            wanted.append(("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"))
        else:
            wanted.append(("Established", "False", "NotAccepted", "not all names are accepted"))
        conditions = [self._condition(before.pop(kind, None), kind, *rest) for kind, *rest in wanted]
        return {"acceptedNames": accepted, "conditions": [*conditions, *before.values()]}

    def _condition(self, before: Obj | None, kind: str, status: str, reason: str, message: str) -> Obj:
        since = before.get("lastTransitionTime") if before and before.get("status") == status else self._now()
        return {"lastTransitionTime": since, "message": message, "reason": reason, "status": status, "type": kind}

    def _conflict(self, obj: Obj) -> tuple[str, str] | None:
        """(reason, message) if another definition of the group has one of the names."""
        spec = obj["spec"]
        taken: set[str] = set()
        kinds: set[str] = set()
        for other in self._store.list(DEFINITIONS):
            if other["spec"]["group"] != spec["group"] or name_of(other) == name_of(obj):
                continue
            accepted = (other.get("status") or {}).get("acceptedNames") or {}
            taken |= {accepted.get("plural", ""), accepted.get("singular", ""), *(accepted.get("shortNames") or ())}
            kinds |= {accepted.get("kind", ""), accepted.get("listKind", "")}
        names = spec["names"]
        for reason, field, held in (
            ("PluralConflict", "plural", taken),
            ("SingularConflict", "singular", taken),
            ("KindConflict", "kind", kinds),
            ("ListKindConflict", "listKind", kinds),
        ):
            if names.get(field) and names[field] in held:
                return reason, f'"{names[field]}" is already in use'
        for name in names.get("shortNames") or ():
            if name in taken:
                return "ShortNamesConflict", f'"{name}" is already in use'
        return None

    def leaving(self, obj: Obj) -> tuple[list[str], Obj]:
        """The finalizers and the status of a definition whose deletion begins: its objects go first."""
        finalizers = [*(obj["metadata"].get("finalizers") or []), CLEANUP]
        status = dict(obj.get("status") or {})
        others = [each for each in status.get("conditions") or [] if each.get("type") != "Terminating"]
        message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        marked = self._condition(None, "Terminating", "True", "InstanceDeletionPending", message)
        return list(dict.fromkeys(finalizers)), {**status, "conditions": [*others, marked]}

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateCustomResourceDefinition."""
        spec = obj["spec"]
        group, names = spec.get("group") or "", spec["names"]
        causes: list[Cause] = []
        wanted = f"{names.get('plural', '')}.{group}"
        if name_of(obj) != wanted:
            causes.append(invalid_value("metadata.name", name_of(obj), 'must be spec.names.plural+"."+spec.group'))
        if not group:
            causes.append(required("spec.group"))
        else:
            causes += invalid_each("spec.group", group, subdomain_problems(group))
            if len(group.split(".")) < 2:
                causes.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
        causes += _validate_enum("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced"))
        causes += _validate_names(names) + _validate_versions(spec) + _validate_conversion(spec)
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Group, names and scope stay; versions that objects are stored in stay too."""
        causes = self.validate(new)
        for field in ("group", "scope"):
            causes += validate_immutable(new["spec"].get(field), old["spec"].get(field), f"spec.{field}")
        for field in ("kind", "plural"):
            before, after = old["spec"]["names"].get(field), new["spec"]["names"].get(field)
            causes += validate_immutable(after, before, f"spec.names.{field}")
        return causes + _validate_stored(new)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """What is stored is in versions that there are."""
        return _validate_stored(new)

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """What is kept, but not done."""
        said: list[str] = []
        for version in new["spec"].get("versions") or []:
            schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            if any("x-kubernetes-validations" in each for each in _schemas(schema)):
                said.append(_NOT_EVALUATED)
            if (version.get("subresources") or {}).get("scale") is not None:
                said.append(_NO_SCALE)
        return said


def _schemas(schema: Any) -> Iterator[Obj]:
    """A schema and all that it is made of."""
    if not isinstance(schema, dict):
        return
    yield schema
    for child in (schema.get("properties") or {}).values():
        yield from _schemas(child)
    for field in ("items", "additionalProperties", "not"):
        yield from _schemas(schema.get(field))
    for field in ("allOf", "anyOf", "oneOf"):
        for child in schema.get(field) or ():
            yield from _schemas(child)


def _validate_enum(path: str, value: str, allowed: tuple[str, ...]) -> list[Cause]:
    if not value:
        return [required(path)]
    return [] if value in allowed else [not_supported(path, value, allowed)]


def _validate_names(names: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("plural", "singular", "kind", "listKind"):
        value, path = names.get(field) or "", f"spec.names.{field}"
        if value:
            causes += invalid_each(path, value, label_problems(value.lower()))
        else:
            causes.append(required(path))
    for index, name in enumerate(names.get("shortNames") or []):
        causes += invalid_each(f"spec.names.shortNames[{index}]", name, label_problems(name))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        causes.append(invalid_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same"))
    return causes


def _validate_versions(spec: Obj) -> list[Cause]:
    versions = spec.get("versions") or []
    causes: list[Cause] = []
    if len({version.get("name") for version in versions}) < len(versions):
        why = "must contain unique version names"
        causes.append(invalid_value("spec.versions", versions, why))
    if sum(1 for version in versions if version.get("storage")) != 1:
        why = "must have exactly one version marked as storage version"
        causes.append(invalid_value("spec.versions", versions, why))
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        causes += invalid_each(f"{path}.name", version.get("name") or "", label_problems(version.get("name") or ""))
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        where = f"{path}.schema.openAPIV3Schema"
        if schema is None:
            causes.append(required(where, "schemas are required"))
            continue
        if schema.get("type") != "object":
            causes.append(
                invalid_value(f"{where}.type", schema["type"], "must be object at the root")
                if schema.get("type")
                else required(f"{where}.type", "must not be empty at the root")
            )
        causes += _validate_schema(schema, where)
    return causes


def _validate_schema(schema: Obj, path: str) -> list[Cause]:
    """That the schema is structural: every value's type is known. Models schema/validation.go."""
    causes: list[Cause] = []
    for name, child in (schema.get("properties") or {}).items():
        causes += _validate_typed(child, f"{path}.properties[{name}]")
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            causes += _validate_typed(schema[field], f"{path}.{field}")
    if schema.get("properties") and schema.get("additionalProperties"):
        why = "additionalProperties and properties are mutual exclusive"
        causes.append(forbidden_field(f"{path}.additionalProperties", why))
    if schema.get("type") == "array" and schema.get("items") is None:
        causes.append(required(f"{path}.items", "must be specified"))
    if schema.get("x-kubernetes-list-type") == "map" and not schema.get("x-kubernetes-list-map-keys"):
        why = "must not be empty if x-kubernetes-list-type is map"
        causes.append(required(f"{path}.x-kubernetes-list-map-keys", why))
    return causes


def _validate_typed(schema: Obj, path: str) -> list[Cause]:
    kind = schema.get("type") or ""
    is_free = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if not kind and not is_free:
        return [
            required(f"{path}.type", "must not be empty for specified object fields"),
            *_validate_schema(schema, path),
        ]
    if kind and kind not in _TYPES:
        return [not_supported(f"{path}.type", kind, _TYPES)]
    return _validate_schema(schema, path)


def _validate_conversion(spec: Obj) -> list[Cause]:
    strategy = spec["conversion"].get("strategy") or ""
    if strategy == "Webhook":
        return [
            forbidden_field("spec.conversion.strategy", "this cluster calls no webhooks: objects can't be converted")
        ]
    return _validate_enum("spec.conversion.strategy", strategy, ("None", "Webhook"))


def _validate_stored(obj: Obj) -> list[Cause]:
    path = "status.storedVersions"
    stored = (obj.get("status") or {}).get("storedVersions") or []
    versions = {version["name"]: version for version in obj["spec"]["versions"]}
    if not stored:
        return [invalid_value(path, stored, "must have at least one stored version")]
    causes: list[Cause] = []
    for index, name in enumerate(stored):
        if name not in versions:
            why = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            causes.append(invalid_value(f"{path}[{index}]", name, why))
    current = next((name for name, version in versions.items() if version.get("storage")), "")
    if current and current not in stored:
        causes.append(invalid_value(path, stored, f"must have the storage version {current}"))
    return causes
