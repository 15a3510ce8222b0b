"""Pods: admission, the few fields that may change, and an end in two phases.

Defaults of the spec are in `pod_defaults`, what is allowed in it in `pod_validation`; running it is the kubelet's.
Models pkg/registry/core/pod/strategy.go, plugin/pkg/admission/{serviceaccount,defaulttolerationseconds,priority}
(v1.36).
"""

from __future__ import annotations

from random import Random

from ..api.request import RequestContext
from ..api.status import Cause, StatusError
from ..objects import Obj
from ..store import Store
from .limit_ranger import check_limit_ranges, set_default_amounts
from .metadata import asked_name, validate_annotations
from .naming import SAFE_ALPHABET, path_segment_problems
from .pod_defaults import default_pod, default_pod_spec
from .pod_quality import qos_class
from .pod_scheduling import merge_label_keys
from .pod_status import join_pod_addresses, validate_pod_status
from .pod_update import validate_pod_update
from .pod_validation import validate_new_pod, validate_pod
from .pod_warnings import OLD_APPARMOR, host_name_warnings, pod_warnings
from .priority_class import SYSTEM_CLASSES
from .scheduling_gates import gated_condition
from .security_validation import APPARMOR_CONTAINER, apparmor_profile, visit_containers
from .strategy import Strategy
from .taints import NOT_READY, UNREACHABLE

_TOKEN_VOLUME = "kube-api-access-"
TOKEN_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS = 3607
_TOLERATED_SECONDS = 300
_FIELDS = (
    "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
    "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
)  # fmt: skip


class PodStrategy(Strategy):
    """A Pod's spec is for life, but for images and a few numbers."""

    tracks_generation = True
    returns_deleted = True

    def __init__(self, store: Store, random: Random) -> None:
        self._store = store
        self._random = random

    def default(self, obj: Obj) -> None:
        """See `pod_defaults`."""
        spec = obj.setdefault("spec", {})
        default_pod_spec(spec)
        default_pod(spec)

    def admit(self, ctx: RequestContext, obj: Obj) -> None:
        """Limits, service account, priority and tolerations, as upstream's admission plugins give them."""
        set_default_amounts(self._store, obj)
        self._admit_priority(obj)
        self._admit_service_account(obj)
        _admit_tolerations(obj["spec"])
        _admit_profiles(ctx, obj)
        merge_label_keys(obj["spec"], obj["metadata"].get("labels") or {})

    def check_new(self, obj: Obj) -> None:
        """LimitRanges."""
        check_limit_ranges(self._store, obj)

    def prepare_for_create(self, obj: Obj) -> None:
        """A new Pod is Pending."""
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        if obj["spec"].get("schedulingGates"):
            obj["status"]["conditions"] = [gated_condition(obj)]

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """Keeps the status, the priority, and the tolerations that every Pod has."""
        super().prepare_for_update(new, old)
        for field in ("priority", "preemptionPolicy"):
            if new["spec"].get(field) is None and field in old["spec"]:
                new["spec"][field] = old["spec"][field]
        _admit_tolerations(new["spec"])

    def prepare_for_status_update(self, new: Obj, old: Obj) -> None:
        """The kubelet writes the status, but not the class that follows from the spec."""
        super().prepare_for_status_update(new, old)
        quality = (old.get("status") or {}).get("qosClass")
        if quality:
            new.setdefault("status", {}).setdefault("qosClass", quality)
        join_pod_addresses(new.get("status") or {})

    def validate(self, obj: Obj) -> list[Cause]:
        """See `pod_validation`."""
        return validate_new_pod(obj)

    def validate_part(self, obj: Obj) -> list[Cause]:
        """A Pod that got ephemeral containers."""
        return validate_pod(obj)

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """See `pod_update`."""
        return validate_pod_update(new, old)

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Annotations travel with the status too."""
        annotations = new["metadata"].get("annotations") or {}
        return validate_annotations(annotations, "metadata.annotations") + validate_pod_status(new, old)

    def grace_period(self, obj: Obj, asked: int | None) -> int | None:
        """None is left to a Pod that no node has taken, or that has ended. Models CheckGracefulDelete."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        seconds = asked if asked is not None else spec.get("terminationGracePeriodSeconds") or 0
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        return max(seconds, 1) if seconds < 0 else int(seconds)

    def warnings(self, new: Obj, old: Obj | None) -> list[str]:
        """See `pod_warnings`."""
        if old is not None:
            return []
        why = "this is used in the Pod's hostname, which can result in surprising behavior"
        return [*host_name_warnings(new["metadata"], why), *pod_warnings(new["metadata"], new["spec"])]

    def field_names(self) -> tuple[str, ...]:
        """Beside name and namespace."""
        return _FIELDS

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": status.get("podIP") or "",
            "status.podIPs": status.get("podIP") or "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }

    def _admit_priority(self, obj: Obj) -> None:
        spec = obj["spec"]
        name = spec.get("priorityClassName")
        found = self._priority_class(name)
        if name and found is None and name not in SYSTEM_CLASSES:
            why = f"no PriorityClass with name {name} was found"
            raise StatusError.forbidden("pods", asked_name(obj["metadata"]), why)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
        # The system's own classes count before the bootstrap has written them down.
        priority = found["value"] if found is not None else SYSTEM_CLASSES.get(name or "", 0)
        if spec.setdefault("priority", priority) != priority:
            why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            why += f"priority admission controller computed {priority} from the given PriorityClass name"
            raise StatusError.forbidden("pods", asked_name(obj["metadata"]), why)
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        given = spec.setdefault("preemptionPolicy", policy)
        if given != policy:
            why = f"the string value of PreemptionPolicy ({given}) must not be provided in pod spec; "
            why += f"priority admission controller computed {policy} from the given PriorityClass name"
            raise StatusError.forbidden("pods", asked_name(obj["metadata"]), why)

    def _priority_class(self, name: str | None) -> Obj | None:
        """The class of that name, or for none that is named the one that is everybody's."""
        shelf = "priorityclasses.scheduling.k8s.io"
        if name:
            return self._store.get(shelf, "", name)
        return next((found for found in self._store.list(shelf) if found.get("globalDefault")), None)

    def _admit_service_account(self, obj: Obj) -> None:
        spec, namespace = obj["spec"], obj["metadata"]["namespace"]
        name = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = name
        account = self._store.get("serviceaccounts", namespace, name)
        if account is None and name != "default":
            # The account `default` comes with the namespace: its controller may still be on its way.
            subject = f"service account {namespace}/{name}"
            missing = f'serviceaccount "{name}" not found'
            problems = path_segment_problems(name)
            if problems:
                missing = f'invalid resource name "{name}": [{" ".join(problems)}]'
            why = f"error looking up {subject}: {missing}"
            raise StatusError.forbidden("pods", asked_name(obj["metadata"]), why)
        account = account or {}
        if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(reference) for reference in account["imagePullSecrets"]]
        wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if wanted:
            self._mount_token(spec)

    def _mount_token(self, spec: Obj) -> None:
        volumes = spec.setdefault("volumes", [])
        # A copy of a Pod, as `kubectl debug --copy-to` makes one, brings the volume of the first along.
        given = next((name for volume in volumes if (name := volume.get("name") or "").startswith(_TOKEN_VOLUME)), "")
        name = given or _TOKEN_VOLUME + "".join(self._random.choices(SAFE_ALPHABET, k=5))
        mounted = False
        for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            mounts = container.setdefault("volumeMounts", [])
            if all(mount.get("mountPath") != TOKEN_DIR for mount in mounts):
                mounts.append({"name": name, "readOnly": True, "mountPath": TOKEN_DIR})
                mounted = True
        if mounted and not given:
            volumes.append({"name": name, "projected": _token_projection()})
        elif not volumes:
            del spec["volumes"]


def _token_projection() -> Obj:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
        ],
        "defaultMode": 420,
    }


def _admit_tolerations(spec: Obj) -> None:
    """For five minutes a Pod stays on a node that doesn't answer."""
    tolerations = spec.setdefault("tolerations", [])
    for key in (NOT_READY, UNREACHABLE):
        if not any(_tolerates_eviction(toleration, key) for toleration in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}
            )


def _admit_profiles(ctx: RequestContext, obj: Obj) -> None:
    """What an old annotation says about AppArmor becomes a field. Models applyAppArmorVersionSkew."""
    spec, annotations = obj["spec"], obj["metadata"].get("annotations") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for container, _ in visit_containers(spec, "spec"):
        key = f"{APPARMOR_CONTAINER}{container.get('name')}"
        context = container.get("securityContext") or {}
        if key not in annotations or context.get("appArmorProfile") is not None:
            continue
        profile = apparmor_profile(annotations[key])
        if profile is not None and profile == (spec.get("securityContext") or {}).get("appArmorProfile"):
            continue
        if profile is not None:
            container["securityContext"] = {**context, "appArmorProfile": profile}
        ctx.warn(f"metadata.annotations[{key}]: {OLD_APPARMOR}")


def _tolerates_eviction(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (None, "", key) and toleration.get("effect") in (None, "", "NoExecute")
