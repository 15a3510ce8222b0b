"""Writes `lab_helpers/pocketkube/schema_data/schema.json`, the table behind `pocketkube.schema`.

Three public sources are joined, all for the same Kubernetes release:

- the OpenAPI definitions that the `kubernetes-validate` package carries (names, merge keys, list types, required);
- a table of protobuf fields (wire numbers, and which fields are pointers in Go, so that their zero value counts):
  `{"messages": {message: {number: [JSON name, one|list|map, type, "nullable"?]}}}`;
- the OpenAPI v3 documents of an API server (defaults, enums, unions), saved one file each, under any names, with
  `kubectl get --raw /openapi/v3/apis/apps/v1`.

`kubernetes-validate` is 111 MB, so it lives in an environment of its own that only this script needs:

    python3 -m venv /tmp/kv && /tmp/kv/bin/pip install --no-deps kubernetes-validate
    python tests/tools/generate_schema.py --openapi /tmp/kv/lib/python3.*/site-packages/kubernetes_validate \\
        --protobuf kubernetes-protobuf-fields.json --served folder-of-documents

The output is deterministic: sorted, one line a type. A field's line reads
`[]core.v1.ServicePort 1 strategy=merge key=port list=map keys=port,protocol`: its type (`[]` list, `{}` map),
its wire number (`2.1` inside an embedded message, `-` if it has none), then what else is known; see `schema.Field`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RELEASE = "v1.36.0"
OUTPUT = Path(__file__).parents[2] / "lab_helpers/pocketkube/schema_data/schema.json"

SERVED = {
    ("", "v1"),
    ("admissionregistration.k8s.io", "v1"),
    ("apiextensions.k8s.io", "v1"),
    ("apiregistration.k8s.io", "v1"),
    ("apps", "v1"),
    ("autoscaling", "v1"),
    ("autoscaling", "v2"),
    ("authentication.k8s.io", "v1"),
    ("authorization.k8s.io", "v1"),
    ("batch", "v1"),
    ("certificates.k8s.io", "v1"),
    ("coordination.k8s.io", "v1"),
    ("discovery.k8s.io", "v1"),
    ("events.k8s.io", "v1"),
    ("flowcontrol.apiserver.k8s.io", "v1"),
    ("networking.k8s.io", "v1"),
    ("node.k8s.io", "v1"),
    ("policy", "v1"),
    ("rbac.authorization.k8s.io", "v1"),
    ("resource.k8s.io", "v1"),
    ("scheduling.k8s.io", "v1"),
    ("storage.k8s.io", "v1"),
}

# OpenAPI name -> the scalar it is for us.
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
SPECIAL = {
    f"{_EXTENSIONS}JSON": "JSON",
    f"{_EXTENSIONS}JSONSchemaPropsOrArray": "SchemaOrArray",
    f"{_EXTENSIONS}JSONSchemaPropsOrBool": "SchemaOrBool",
    f"{_EXTENSIONS}JSONSchemaPropsOrStringArray": "SchemaOrStrings",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "FieldsV1",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "RawExtension",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
}
SCALARS = {
    ("boolean", None): "bool", ("integer", None): "int64", ("integer", "int32"): "int32", ("integer", "int64"): "int64",
    ("number", None): "double", ("number", "double"): "double", ("string", None): "string", ("string", "byte"): "bytes",
}  # fmt: skip

# Optional in OpenAPI, yet always written, as their Go tag has no omitempty.
ALWAYS_WRITTEN = {
    "apps.v1.StatefulSetOrdinals.start", "apps.v1.StatefulSetSpec.serviceName",
    "apps.v1.StatefulSetStatus.availableReplicas", "core.v1.Event.reportingComponent",
    "core.v1.Event.reportingInstance", "core.v1.NodeRuntimeHandler.name",
    "policy.v1.PodDisruptionBudgetStatus.currentHealthy", "policy.v1.PodDisruptionBudgetStatus.desiredHealthy",
    "policy.v1.PodDisruptionBudgetStatus.disruptionsAllowed", "policy.v1.PodDisruptionBudgetStatus.expectedPods",
    "rbac.v1.RoleRef.apiGroup", "scheduling.v1.PriorityClass.value",
}  # fmt: skip
# Structs by value that are left out when empty (omitzero).
LEFT_OUT_WHEN_EMPTY = {"meta.v1.ObjectMeta.creationTimestamp"}
# What a field that is always written holds if nobody set it, so that OpenAPI gives it as the default.
ZERO = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0}


def short_name(name: str) -> str:
    """`io.k8s.api.core.v1.Pod` -> `core.v1.Pod`."""
    name = name.removeprefix("io.").removeprefix("k8s.").removeprefix("api.")
    for module in ("apimachinery", "apiextensions-apiserver", "kube-aggregator"):
        name = name.removeprefix(f"{module}.pkg.apis.")
    return name


def reference(schema: dict[str, Any]) -> str | None:
    """The OpenAPI name that a schema refers to."""
    ref = schema.get("$ref") or next((part["$ref"] for part in schema.get("allOf", []) if "$ref" in part), None)
    return ref.rsplit("/", 1)[1] if ref else None


class Generator:
    """Joins the two sources, starting from the served kinds."""

    def __init__(self, openapi: dict[str, Any], protobuf: dict[str, Any], served: dict[str, Any]) -> None:
        self.openapi = openapi
        self.protobuf = protobuf
        self.served = served
        self.types: dict[str, dict[str, str]] = {}
        self.atomic: set[str] = set()
        self.unions: dict[str, list[Any]] = {}

    def table(self) -> dict[str, Any]:
        """The whole table."""
        kinds: dict[str, str] = {}
        for name, schema in self.openapi.items():
            for gvk in schema.get("x-kubernetes-group-version-kind", ()):
                group_version = (gvk["group"], gvk["version"])
                if group_version not in SERVED or (gvk["group"] and ".meta.v1." in name):
                    continue
                kinds["/".join(filter(None, (*group_version, gvk["kind"])))] = short_name(name)
                self.add_type(name)
        types = {name: dict(sorted(fields.items())) for name, fields in sorted(self.types.items())}
        head = {"kinds": dict(sorted(kinds.items())), "atomic": sorted(self.atomic)}
        return {**head, "unions": dict(sorted(self.unions.items())), "types": types}

    def add_type(self, name: str) -> None:
        """Adds a type and all that it refers to."""
        key = short_name(name)
        if key in self.types:
            return
        self.types[key] = {}
        schema = self.openapi[name]
        if schema.get("x-kubernetes-map-type") == "atomic":
            self.atomic.add(key)
        if unions := self.served[name].get("x-kubernetes-unions"):
            self.unions[key] = unions
        shown = self.served[name].get("properties", {})
        wire = self.wire_fields(name, set(schema.get("properties", {})))
        required = set(schema.get("required", ()))
        for field, field_schema in schema.get("properties", {}).items():
            line = self.field_line(key, field, field_schema, wire.get(field), field in required, shown[field])
            self.types[key][field] = line

    def wire_fields(self, name: str, properties: set[str]) -> dict[str, tuple[str, bool]]:
        """JSON name -> (wire number, pointer). A field that JSON does not know is an embedded message."""
        return self.numbered(self.message(name), {field.lower(): field for field in properties}, "")

    def numbered(self, message: dict[str, list[str]], exact: dict[str, str], prefix: str) -> dict[str, Any]:
        """`wire_fields` of a message; `prefix` leads to it where it is embedded."""
        found: dict[str, tuple[str, bool]] = {}
        for number, (field, _shape, kind, *flags) in message.items():
            if field.lower() in exact:
                found[exact[field.lower()]] = (f"{prefix}{number}", bool(flags))
            else:
                found |= self.numbered(self.protobuf[kind], exact, f"{prefix}{number}.")
        return found

    def message(self, name: str) -> dict[str, list[str]]:
        """The protobuf message of an OpenAPI type."""
        message: dict[str, list[str]] = self.protobuf[name.replace("io.k8s.", "k8s.io.", 1)]
        return message

    def field_line(
        self,
        owner: str,
        field: str,
        schema: dict[str, Any],
        wire: tuple[str, bool] | None,
        required: bool,
        shown: dict[str, Any],
    ) -> str:
        """One field, in the form that the docstring above describes. `shown` is what a server says of it."""
        prefix, kind = self.shape(schema)
        path = f"{owner}.{field}"
        number, pointer = wire or ("-", False)
        if wire is None and field not in ("apiVersion", "kind"):
            raise SystemExit(f"{path} has no wire number")
        words = [prefix + kind, number]
        written = required or path in ALWAYS_WRITTEN
        if written:
            words.append("required" if required else "written")
        if pointer:
            words.append("pointer")
        is_scalar_struct = kind in ("Time", "MicroTime", "Quantity") and not pointer
        by_value = shown.get("default") == {} if "." in kind else is_scalar_struct
        if by_value and not prefix and path not in LEFT_OUT_WHEN_EMPTY:
            words.append("value")
        value = shown.get("items") or shown.get("additionalProperties") or shown
        usual = ZERO.get(kind) if written and not pointer and not prefix else None
        default = None if by_value or prefix else shown.get("default")
        named = {
            "strategy": schema.get("x-kubernetes-patch-strategy"),
            "key": schema.get("x-kubernetes-patch-merge-key"),
            "list": schema.get("x-kubernetes-list-type"),
            "keys": ",".join(schema.get("x-kubernetes-list-map-keys", ())),
            "map": schema.get("x-kubernetes-map-type"),
            "default": json.dumps(default) if default != usual else None,
            "enum": ",".join(value.get("enum", ())),
        }
        return " ".join(words + [f"{name}={value}" for name, value in named.items() if value])

    def shape(self, schema: dict[str, Any]) -> tuple[str, str]:
        """(`[]`, `{}` or nothing, type)."""
        if name := reference(schema):
            if name in SPECIAL:
                return "", SPECIAL[name]
            self.add_type(name)
            return "", short_name(name)
        kind = schema["type"]
        kind = next(item for item in kind if item != "null") if isinstance(kind, list) else kind
        if kind == "array":
            return "[]", self.shape(schema["items"])[1]
        if kind == "object":
            inner, name = self.shape(schema["additionalProperties"])
            return "{}", "StringList" if inner == "[]" else name
        return "", SCALARS[kind, schema.get("format")]


def main() -> None:
    """Reads both sources, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openapi", type=Path, required=True, help="folder of the kubernetes_validate package")
    parser.add_argument("--protobuf", type=Path, required=True, help="the table of protobuf fields")
    parser.add_argument("--served", type=Path, required=True, help="folder of a server's OpenAPI v3 documents")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    definitions = options.openapi / "kubernetes-json-schema" / f"{RELEASE}-local" / "_definitions.json"
    openapi = json.loads(definitions.read_text())["$defs"]
    protobuf = json.loads(options.protobuf.read_text())["messages"]
    served: dict[str, Any] = {}
    for document in sorted(options.served.iterdir()):
        served |= json.loads(document.read_text()).get("components", {}).get("schemas", {})
    table = Generator(openapi, protobuf, served).table()
    lines = [f"{json.dumps(name)}: {json.dumps(fields)}" for name, fields in table["types"].items()]
    text = (
        f'{{"release": {json.dumps(RELEASE)},\n"kinds": {json.dumps(table["kinds"])},\n'
        f'"atomic": {json.dumps(table["atomic"])},\n"unions": {json.dumps(table["unions"])},\n'
        '"types": {\n' + ",\n".join(lines) + "\n}}\n"
    )
    options.output.write_text(text)
    print(f"{options.output}: {len(table['kinds'])} kinds, {len(table['types'])} types, {len(text)} bytes")


if __name__ == "__main__":
    main()
