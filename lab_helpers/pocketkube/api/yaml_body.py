"""A YAML document as upstream reads it: only what JSON can hold, dates left as text, duplicate keys noticed.

Models sigs.k8s.io/yaml: YAML 1.1, so that `yes` and `on` are booleans.
"""

from __future__ import annotations

import math
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """The safe loader without timestamps, sets and other types that JSON lacks."""

    duplicates: list[str]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ValueError("error converting YAML to JSON: a mapping's key is not a scalar")
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{key_node.value}" already set in map')
            seen.add(key_node.value)
        return {_key(key): value for key, value in super().construct_mapping(node, deep=True).items()}


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def _construct_map(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _construct_text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _refuse(_loader: _Loader, node: yaml.Node) -> None:
    raise ValueError(f"error converting YAML to JSON: JSON has no {node.tag.rpartition(':')[2]}")


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)
_Loader.add_constructor("tag:yaml.org,2002:binary", _construct_text)
for _tag in ("set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _refuse)


def load(body: bytes) -> tuple[Any, list[str]]:
    """(value, what was given twice, in the words of upstream's parser). ValueError if it isn't YAML."""
    loader = _Loader(body)
    loader.duplicates = []
    try:
        value = loader.get_single_data()
    except (yaml.YAMLError, RecursionError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"yaml: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()
    _check_numbers(value)
    return value, loader.duplicates


def _check_numbers(value: Any) -> None:
    """JSON has no infinity and no NaN."""
    stack, seen = [value], set()
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError("error converting YAML to JSON: json: unsupported value")
        if isinstance(item, (dict, list)) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)
