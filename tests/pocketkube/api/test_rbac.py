"""What Roles and their bindings add to the fixed policy."""

from __future__ import annotations

import pytest
from in_process_api import Api

from lab_helpers.pocketkube.api.auth import Attributes, User, is_allowed, service_account_user
from lab_helpers.pocketkube.api.rbac import Roles
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.resources.role import default_roles

GROUP = "rbac.authorization.k8s.io"
POD = service_account_user("default", "reader")
READ = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}


def pods(verb: str = "list", namespace: str = "default", resource: str = "pods", name: str = "") -> Attributes:
    return Attributes(verb, "", "", resource, namespace, name)


def bind(api: Api, kind: str, role: str, subject: Obj, *, role_kind: str = "Role") -> None:
    reference = {"kind": role_kind, "name": role, "apiGroup": GROUP}
    binding = {"metadata": {"name": f"{role}-bound"}, "roleRef": reference, "subjects": [subject]}
    api.create(f"{kind}.{GROUP}", binding)


@pytest.fixture
def roles(api: Api) -> Roles:
    return Roles(api.operations.store)


def test_a_role_counts_in_its_namespace_from_the_moment_it_is_bound(api: Api, roles: Roles) -> None:
    api.create(f"roles.{GROUP}", {"metadata": {"name": "read"}, "rules": [READ]})
    assert not is_allowed(POD, pods(), roles.allow)
    bind(api, "rolebindings", "read", {"kind": "ServiceAccount", "name": "reader", "namespace": "default"})
    assert is_allowed(POD, pods(), roles.allow)
    assert is_allowed(POD, pods("get", resource="pods/log"), roles.allow)
    assert not is_allowed(POD, pods("delete"), roles.allow)
    assert not is_allowed(POD, pods(resource="pods/exec"), roles.allow)
    assert not is_allowed(POD, pods(namespace="other"), roles.allow)
    assert not is_allowed(POD, pods(namespace=""), roles.allow)
    assert not is_allowed(service_account_user("default", "other"), pods(), roles.allow)


def test_a_cluster_role_counts_where_its_binding_is(api: Api, roles: Roles) -> None:
    api.create(f"clusterroles.{GROUP}", {"metadata": {"name": "read"}, "rules": [READ]})
    bind(api, "rolebindings", "read", {"kind": "User", "name": "ann"}, role_kind="ClusterRole")
    bind(api, "clusterrolebindings", "read", {"kind": "Group", "name": "staff"}, role_kind="ClusterRole")
    assert is_allowed(User("ann", ()), pods(), roles.allow)
    assert not is_allowed(User("ann", ()), pods(namespace="other"), roles.allow)
    assert is_allowed(User("bob", ("staff",)), pods(namespace="other"), roles.allow)


def test_names_paths_and_stars(api: Api, roles: Roles) -> None:
    one = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["page"]}
    paths = {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}
    scale = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}
    api.create(f"clusterroles.{GROUP}", {"metadata": {"name": "some"}, "rules": [one, paths, scale]})
    bind(api, "clusterrolebindings", "some", {"kind": "User", "name": "ann"}, role_kind="ClusterRole")
    ann = User("ann", ())
    assert is_allowed(ann, pods("get", resource="configmaps", name="page"), roles.allow)
    assert not is_allowed(ann, pods("get", resource="configmaps", name="other"), roles.allow)
    assert is_allowed(ann, Attributes("get", "/metrics"), roles.allow)
    assert is_allowed(ann, Attributes("get", "/logs/today"), roles.allow)
    assert not is_allowed(ann, Attributes("get", "/logsbook"), roles.allow)
    assert is_allowed(ann, Attributes("patch", "", "apps", "deployments/scale", "default", "web"), roles.allow)


def test_a_binding_to_a_role_that_is_not_there_grants_nothing(api: Api, roles: Roles) -> None:
    bind(api, "rolebindings", "missing", {"kind": "User", "name": "ann"})
    assert not is_allowed(User("ann", ()), pods(), roles.allow)


def test_who_may_view_does_not_see_secrets(api: Api, roles: Roles) -> None:
    for role in default_roles():
        api.create(f"clusterroles.{GROUP}", role)
    for role in ("view", "edit", "cluster-admin"):
        bind(api, "rolebindings", role, {"kind": "User", "name": role}, role_kind="ClusterRole")
    view, edit, admin = (User(name, ()) for name in ("view", "edit", "cluster-admin"))
    assert is_allowed(view, pods(), roles.allow)
    assert not is_allowed(view, pods("delete"), roles.allow)
    assert not is_allowed(view, pods("get", resource="secrets"), roles.allow)
    assert is_allowed(edit, pods("get", resource="secrets"), roles.allow)
    assert is_allowed(edit, pods("create", resource="pods/exec"), roles.allow)
    assert not is_allowed(edit, pods("delete", resource="resourcequotas"), roles.allow)
    assert is_allowed(admin, pods("delete", resource="resourcequotas"), roles.allow)


def test_the_binding_that_allows_is_named(api: Api, roles: Roles) -> None:
    api.create(f"roles.{GROUP}", {"metadata": {"name": "read"}, "rules": [READ]})
    bind(api, "rolebindings", "read", {"kind": "ServiceAccount", "name": "reader", "namespace": "default"})
    why = 'RBAC: allowed by RoleBinding "read-bound/default" of Role "read" to ServiceAccount "reader/default"'
    assert roles.reason(POD, pods()) == why
    assert roles.reason(POD, pods("delete")) == ""


# --- granting ---

ANN = {"user": "ann", "groups": ("staff", "system:authenticated")}
HELD = {"verbs": ["get", "create"], "apiGroups": [""], "resources": ["pods"]}


@pytest.fixture
def ann(api: Api) -> Api:
    """An API where ann holds `HELD` in the namespace default."""
    api.create(f"clusterroles.{GROUP}", {"metadata": {"name": "held"}, "rules": [HELD]})
    bind(api, "rolebindings", "held", {"kind": "User", "name": "ann"}, role_kind="ClusterRole")
    return api


def test_nobody_writes_a_role_that_allows_more_than_he_holds(ann: Api) -> None:
    ann.create(f"roles.{GROUP}", {"metadata": {"name": "same"}, "rules": [{**HELD, "verbs": ["get"]}]}, **ANN)
    more = [
        {"verbs": ["get", "list", "delete"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
    ]
    with pytest.raises(StatusError) as caught:
        ann.create(f"roles.{GROUP}", {"metadata": {"name": "more"}, "rules": more}, **ANN)
    assert caught.value.code == 403
    assert caught.value.message == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "ann" (groups=["staff" "system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["list" "delete"]}\n'
        '{APIGroups:[""], Resources:["pods/log"], Verbs:["get" "list" "delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["a"], Verbs:["get"]}'
    )
    with pytest.raises(StatusError, match="permissions not currently held"):
        ann.patch(f"roles.{GROUP}", "same", {"rules": more}, **ANN)
    ann.patch(f"roles.{GROUP}", "same", {"rules": more})
    ann.patch(f"roles.{GROUP}", "same", {"metadata": {"finalizers": ["a/b"]}}, **ANN)
    with pytest.raises(StatusError, match="permissions not currently held"):
        ann.patch(f"roles.{GROUP}", "same", {"metadata": {"labels": {"a": "b"}}}, **ANN)


def test_nobody_binds_others_to_a_role_that_allows_more_than_he_holds(ann: Api) -> None:
    ann.create(f"roles.{GROUP}", {"metadata": {"name": "read"}, "rules": [READ]})

    def try_to_bind(name: str, role: str = "read", kind: str = "Role") -> None:
        reference = {"kind": kind, "name": role, "apiGroup": GROUP}
        subjects = [{"kind": "User", "name": "bob"}]
        binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
        ann.create(f"rolebindings.{GROUP}", binding, **ANN)

    try_to_bind("a", "held", "ClusterRole")
    with pytest.raises(StatusError, match=r'Resources:\["pods"\], Verbs:\["list"\]'):
        try_to_bind("b")
    with pytest.raises(StatusError, match='roles.rbac.authorization.k8s.io "none" not found'):
        try_to_bind("b", "none")
    binds = {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["roles"], "resourceNames": ["read"]}
    ann.create(f"roles.{GROUP}", {"metadata": {"name": "binder"}, "rules": [binds]})
    bind(ann, "rolebindings", "binder", {"kind": "User", "name": "ann"})
    try_to_bind("b")


def test_only_administrators_let_a_role_gather_others(ann: Api) -> None:
    gathers = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    with pytest.raises(StatusError, match="must have cluster-admin privileges to use the aggregationRule"):
        ann.create(f"clusterroles.{GROUP}", {"metadata": {"name": "all"}, "aggregationRule": gathers}, **ANN)
    ann.create(f"clusterroles.{GROUP}", {"metadata": {"name": "all"}, "aggregationRule": gathers})
