"""What the API server serves at one moment: the static table, and the custom kinds that are established.

served = catalogue.served            # an immutable snapshot; another one after a definition has changed
served.versions["apps", "v1"]["deployments"]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..resources.table import FURTHER_VERSIONS, RESOURCES, Resource
from ..store import Store
from .definition import DEFINITIONS, CustomResource, is_established, resources_of

Versions = Mapping[tuple[str, str], Mapping[str, Resource]]


class Served:
    """All resources at one moment. Compared by identity, so that what is made from it can be kept."""

    def __init__(self, custom: Iterable[CustomResource] = ()) -> None:
        self.custom = tuple(custom)
        stored = {resource.name: resource for resource in self.custom if resource.is_storage}
        self.stored_custom: Mapping[str, CustomResource] = MappingProxyType(
            {**{resource.name: resource for resource in self.custom}, **stored}
        )
        """Custom resources by name, in the version in which their objects are stored."""
        self.versions: Versions = MappingProxyType(_by_version([*RESOURCES.values(), *FURTHER_VERSIONS, *self.custom]))
        """Every served (group, version) with its resources by plural, the resources in alphabetical order."""

    def get(self, name: str) -> Resource | None:
        """A resource by its name."""
        return RESOURCES.get(name) or self.stored_custom.get(name)

    def all(self) -> list[Resource]:
        """Every resource once."""
        return [*RESOURCES.values(), *self.stored_custom.values()]

    def part(self, group: str, version: str) -> Served:
        """The snapshot that a document about a group and version depends on: most depend on the static one alone."""
        is_custom = any((resource.group, resource.version) == (group, version) for resource in self.custom)
        return self if is_custom else STATIC


def _by_version(resources: Iterable[Resource]) -> dict[tuple[str, str], dict[str, Resource]]:
    served: dict[tuple[str, str], dict[str, Resource]] = {}
    for resource in sorted(resources, key=lambda resource: resource.plural):
        served.setdefault((resource.group, resource.version), {})[resource.plural] = resource
    return served


STATIC = Served()
"""What is served where nobody has defined anything."""


class Catalogue:
    """The snapshot of one store, renewed when a definition has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._served = STATIC
        self._seen = -1

    @property
    def served(self) -> Served:
        """What is served now."""
        changed = self._store.changes_of(DEFINITIONS)
        if changed != self._seen:
            self._seen = changed
            established = [each for each in self._store.list(DEFINITIONS) if is_established(each)]
            custom = [resource for definition in established for resource in resources_of(definition)]
            self._served = Served(custom) if custom else STATIC
        return self._served
