"""The one table of resources: every kind the API server serves, by its names.

Pure data, cheap to import from any process. What is special about a kind (defaulting, validation, allocation)
is in the module of `resources/` named after it; fields are in `schema.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One resource of the API, as discovery describes it."""

    plural: str
    kind: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    singular: str = field(default="")

    def __post_init__(self) -> None:
        if not self.singular:
            object.__setattr__(self, "singular", self.kind.lower())

    @property
    def name(self) -> str:
        """The name that components and errors use: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, or of one object or its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


def _cluster_wide(
    group: str,
    kind: str,
    plural: str,
    *,
    short_names: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    status: bool = False,
) -> Resource:
    """A resource outside of namespaces."""
    return Resource(
        plural,
        kind,
        group=group,
        namespaced=False,
        short_names=short_names,
        categories=categories,
        subresources=("status",) if status else (),
    )


_TABLE = (
    Resource(
        "namespaces",
        "Namespace",
        namespaced=False,
        short_names=("ns",),
        subresources=("finalize", "status"),
        verbs=tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
    ),
    Resource("nodes", "Node", namespaced=False, short_names=("no",), subresources=("proxy", "status")),
    Resource(
        "pods",
        "Pod",
        short_names=("po",),
        categories=("all",),
        subresources=(
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "status",
        ),
    ),
    Resource(
        "services",
        "Service",
        short_names=("svc",),
        categories=("all",),
        subresources=("proxy", "status"),
    ),
    Resource("endpoints", "Endpoints", short_names=("ep",), singular="endpoints"),
    Resource("configmaps", "ConfigMap", short_names=("cm",)),
    Resource("secrets", "Secret"),
    Resource("serviceaccounts", "ServiceAccount", short_names=("sa",), subresources=("token",)),
    Resource("events", "Event", short_names=("ev",)),
    Resource("events", "Event", group="events.k8s.io", short_names=("ev",)),
    Resource("endpointslices", "EndpointSlice", group="discovery.k8s.io"),
    Resource(
        "deployments",
        "Deployment",
        group="apps",
        short_names=("deploy",),
        categories=("all",),
        subresources=("scale", "status"),
    ),
    Resource(
        "replicasets",
        "ReplicaSet",
        group="apps",
        short_names=("rs",),
        categories=("all",),
        subresources=("scale", "status"),
    ),
    Resource(
        "replicationcontrollers",
        "ReplicationController",
        short_names=("rc",),
        categories=("all",),
        subresources=("scale", "status"),
    ),
    Resource(
        "statefulsets",
        "StatefulSet",
        group="apps",
        short_names=("sts",),
        categories=("all",),
        subresources=("scale", "status"),
    ),
    Resource(
        "daemonsets", "DaemonSet", group="apps", short_names=("ds",), categories=("all",), subresources=("status",)
    ),
    Resource("controllerrevisions", "ControllerRevision", group="apps"),
    Resource("jobs", "Job", group="batch", categories=("all",), subresources=("status",)),
    Resource("cronjobs", "CronJob", group="batch", short_names=("cj",), categories=("all",), subresources=("status",)),
    Resource("leases", "Lease", group="coordination.k8s.io"),
    Resource("resourcequotas", "ResourceQuota", short_names=("quota",), subresources=("status",)),
    Resource("limitranges", "LimitRange", short_names=("limits",)),
    Resource("podtemplates", "PodTemplate"),
    Resource("ingresses", "Ingress", group="networking.k8s.io", short_names=("ing",), subresources=("status",)),
    Resource("ingressclasses", "IngressClass", group="networking.k8s.io", namespaced=False),
    Resource("networkpolicies", "NetworkPolicy", group="networking.k8s.io", short_names=("netpol",)),
    Resource("servicecidrs", "ServiceCIDR", group="networking.k8s.io", namespaced=False, subresources=("status",)),
    Resource("ipaddresses", "IPAddress", group="networking.k8s.io", namespaced=False, short_names=("ip",)),
    Resource(
        "poddisruptionbudgets", "PodDisruptionBudget", group="policy", short_names=("pdb",), subresources=("status",)
    ),
    Resource("priorityclasses", "PriorityClass", group="scheduling.k8s.io", namespaced=False, short_names=("pc",)),
    Resource("roles", "Role", group="rbac.authorization.k8s.io"),
    Resource("rolebindings", "RoleBinding", group="rbac.authorization.k8s.io"),
    Resource("clusterroles", "ClusterRole", group="rbac.authorization.k8s.io", namespaced=False),
    Resource("clusterrolebindings", "ClusterRoleBinding", group="rbac.authorization.k8s.io", namespaced=False),
    Resource("persistentvolumes", "PersistentVolume", namespaced=False, short_names=("pv",), subresources=("status",)),
    Resource("persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",), subresources=("status",)),
    Resource(
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        group="autoscaling",
        version="v2",
        short_names=("hpa",),
        categories=("all",),
        subresources=("status",),
    ),
    *(
        _cluster_wide("admissionregistration.k8s.io", kind, plural, categories=("api-extensions",), status=status)
        for kind, plural, status in (
            ("MutatingAdmissionPolicy", "mutatingadmissionpolicies", False),
            ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", False),
            ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", False),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", True),
            ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False),
            ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", False),
        )
    ),
    _cluster_wide(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        status=True,
    ),
    Resource(
        "apiservices",
        "APIService",
        group="apiregistration.k8s.io",
        namespaced=False,
        categories=("api-extensions",),
        verbs=("get", "list", "watch"),
    ),
    Resource(
        "certificatesigningrequests",
        "CertificateSigningRequest",
        group="certificates.k8s.io",
        namespaced=False,
        short_names=("csr",),
        subresources=("approval", "status"),
    ),
    _cluster_wide("node.k8s.io", "RuntimeClass", "runtimeclasses"),
    _cluster_wide("storage.k8s.io", "CSIDriver", "csidrivers"),
    _cluster_wide("storage.k8s.io", "CSINode", "csinodes"),
    Resource("csistoragecapacities", "CSIStorageCapacity", group="storage.k8s.io"),
    _cluster_wide("storage.k8s.io", "StorageClass", "storageclasses", short_names=("sc",)),
    _cluster_wide("storage.k8s.io", "VolumeAttachment", "volumeattachments", status=True),
    _cluster_wide("storage.k8s.io", "VolumeAttributesClass", "volumeattributesclasses", short_names=("vac",)),
    _cluster_wide("resource.k8s.io", "DeviceClass", "deviceclasses"),
    Resource("resourceclaims", "ResourceClaim", group="resource.k8s.io", subresources=("status",)),
    Resource("resourceclaimtemplates", "ResourceClaimTemplate", group="resource.k8s.io"),
    _cluster_wide("resource.k8s.io", "ResourceSlice", "resourceslices"),
    _cluster_wide("flowcontrol.apiserver.k8s.io", "FlowSchema", "flowschemas", status=True),
    _cluster_wide(
        "flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", "prioritylevelconfigurations", status=True
    ),
)

RESOURCES: dict[str, Resource] = {resource.name: resource for resource in _TABLE}
"""Every resource by its name, in the version in which its objects are stored."""

FURTHER_VERSIONS = (replace(RESOURCES["horizontalpodautoscalers.autoscaling"], version="v1"),)
"""Resources that are served in another version, too."""
