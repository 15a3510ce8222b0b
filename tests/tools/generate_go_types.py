"""Writes `lab_helpers/pocketkube/schema_data/go_types.json`, the table behind `pocketkube.go_types`.

The facts come from Go's reflection over the types of one Kubernetes release, as
`{"versioned": {type: fields}, "internal": {type: fields}}`: a field is `{"Go": its name, "JSON": the name in its tag,
"Type": its type, "Embedded": whether it is}`, a type is written `core.PodSpec@k8s.io/kubernetes/pkg/apis/core:struct`
(name, package, kind), with `*`, `[]` and `{}` before it for pointers, slices and maps. `versioned` starts from the
kinds of client-go's scheme, `internal` from the API server's own PodTemplateSpec.

    python tests/tools/generate_go_types.py facts.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RELEASE = "v1.36.0"
OUTPUT = Path(__file__).parents[2] / "lab_helpers/pocketkube/schema_data/go_types.json"
NAMED_SCALARS = ("string", "int32", "int64", "bool")
SPECIAL = {"Quantity", "IntOrString", "Time", "MicroTime"}
"""Structs that are scalars in JSON."""

Fields = list[dict[str, Any]]


def bare(go_type: str) -> str:
    """A type without pointers, slices and maps."""
    return go_type.lstrip("*[]{}")


def schema_name(go_type: str) -> str:
    """`v1.Pod@k8s.io/api/core/v1:struct` -> `core.v1.Pod`."""
    name, _, package = go_type.partition("@")
    return ".".join([*package.rpartition(":")[0].split("/")[-2:], name.partition(".")[2]])


def short(go_type: str) -> str:
    """`[]core.Volume@...:struct` -> `[]Volume`; strings with names of their own are strings."""
    prefix, inner = go_type[: len(go_type) - len(bare(go_type))], bare(go_type)
    name, _, kind = inner.partition("@")[0].rpartition(".")[2], "", inner.rpartition(":")[2]
    return prefix + (name if kind == "struct" or "@" not in inner else kind)


def flat(types: dict[str, Fields], name: str) -> Fields:
    """The fields of a struct, those of embedded structs in their place."""
    found: Fields = []
    for field in types[name]:
        inner = field["Embedded"] and not field["JSON"] and types.get(field["Type"])
        found += flat(types, field["Type"]) if inner else [field]
    return found


def internal(facts: dict[str, dict[str, Fields]]) -> dict[str, str]:
    """The server's own types: `GoName=jsonName:type`, in Go's order."""
    versioned = facts["versioned"]
    public = {schema_name(name): name for name in versioned}
    table = {}
    for name in facts["internal"]:
        own = name.startswith("core.")
        type_name = name.partition("@")[0].partition(".")[2]
        if not own or type_name == "PodTemplateSpec":
            continue
        tags = {field["Go"]: field["JSON"] for field in flat(versioned, public[f"core.v1.{type_name}"])}
        words = []
        for field in flat(facts["internal"], name):
            # What the server keeps in the security context is in the public PodSpec itself.
            tag = tags.get(field["Go"]) or "^" + field["Go"][0].lower() + field["Go"][1:]
            words.append(f"{field['Go']}={tag}:{short(field['Type'])}")
        table[type_name] = " ".join(words)
    return table


def named(versioned: dict[str, Fields]) -> dict[str, str]:
    """Scalar types with names of their own, each with the fields that have it."""
    found: dict[str, list[str]] = {}
    for struct in versioned:
        for field in flat(versioned, struct):
            inner = bare(field["Type"])
            if "@" in inner and inner.rpartition(":")[2] in NAMED_SCALARS:
                found.setdefault(inner.partition("@")[0], []).append(f"{schema_name(struct)}.{field['JSON']}")
    return {name: " ".join(sorted(places)) for name, places in sorted(found.items())}


def embedded(versioned: dict[str, Fields]) -> dict[str, str]:
    """Structs with others inside: `EmbeddedName:field,field`."""
    found = {}
    for struct, fields in versioned.items():
        if bare(struct).partition("@")[0].rpartition(".")[2] in SPECIAL:
            continue
        for field in fields:
            if field["Embedded"] and not field["JSON"] and field["Go"] not in ("TypeMeta",):
                inner = ",".join(sorted(item["JSON"] for item in flat(versioned, field["Type"])))
                found[schema_name(struct)] = f"{field['Go']}:{inner}"
    return dict(sorted(found.items()))


def main() -> None:
    """Reads the facts, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facts", type=Path)
    facts = json.loads(parser.parse_args().facts.read_text())
    table = {
        "release": RELEASE,
        "internal": dict(sorted(internal(facts).items())),
        "named": named(facts["versioned"]),
        "embedded": embedded(facts["versioned"]),
    }
    OUTPUT.write_text(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
