"""The files that give a Pod its names: host name, /etc/hosts and /etc/resolv.conf.

Pure functions from a Pod to text; who puts the text where is left to the runtime and the Pod worker.
Models pkg/kubelet/kubelet_pods.go and pkg/kubelet/network/dns (v1.36).
"""

from __future__ import annotations

from ..config import ClusterConfig
from ..objects import Obj, name_of, namespace_of

_LONGEST_HOSTNAME = 63
_LONGEST_FQDN = 64


class HostnameTooLong(RuntimeError):
    """The kernel can't take the host name that a Pod asks for."""


def hostname_of(pod: Obj) -> str:
    """The host name of a Pod: `spec.hostname`, else its name, cut to what the kernel takes."""
    return str(pod["spec"].get("hostname") or name_of(pod))[:_LONGEST_HOSTNAME].rstrip("-.")


def machine_name_of(pod: Obj, node: str, cluster_domain: str) -> str:
    """What `hostname` says in the Pod's containers. Raises HostnameTooLong."""
    if pod["spec"].get("hostNetwork"):
        return node
    hostname, domain = hostname_of(pod), domain_of(pod, cluster_domain)
    if not domain or not pod["spec"].get("setHostnameAsFQDN"):
        return hostname
    whole = f"{hostname}.{domain}"
    if len(whole) > _LONGEST_FQDN:
        raise HostnameTooLong(
            f"Failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long "
            f"({_LONGEST_FQDN} characters is the max, {len(whole)} characters requested)"
        )
    return whole


def domain_of(pod: Obj, cluster_domain: str) -> str:
    """`SUBDOMAIN.NAMESPACE.svc.DOMAIN` for a Pod with a subdomain, else the empty string."""
    subdomain = pod["spec"].get("subdomain")
    return f"{subdomain}.{namespace_of(pod)}.svc.{cluster_domain}" if subdomain else ""


def plain_hosts(hostname: str) -> str:
    """/etc/hosts of a machine that knows nobody but itself."""
    return f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n"


def hosts_file(pod: Obj, pod_ip: str, cluster_domain: str, node_hosts: str = "") -> str:
    """/etc/hosts of a Pod's containers; that of the node, with the Pod's aliases, if it uses the node's network."""
    aliases = _alias_lines(pod)
    if pod["spec"].get("hostNetwork"):
        return f"# Kubernetes-managed hosts file (host network).\n{node_hosts}{aliases}"
    hostname, domain = hostname_of(pod), domain_of(pod, cluster_domain)
    names = f"{hostname}.{domain}\t{hostname}" if domain else hostname
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        f"{pod_ip}\t{names}",
    ]
    return "\n".join(lines) + "\n" + aliases


def _alias_lines(pod: Obj) -> str:
    aliases = pod["spec"].get("hostAliases") or []
    if not aliases:
        return ""
    lines = ["", "# Entries added by HostAliases."]
    lines += ["\t".join([alias["ip"], *(alias.get("hostnames") or [])]) for alias in aliases]
    return "\n".join(lines) + "\n"


def resolv_conf(pod: Obj, config: ClusterConfig) -> str:
    """/etc/resolv.conf of a Pod's containers.

    `Default` would mean the node's own resolvers; a node of this cluster has none that could be reached.
    """
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    nameservers: list[str] = []
    searches: list[str] = []
    options: dict[str, str | None] = {}
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        domain = config.cluster_domain
        nameservers = [config.dns_ip]
        searches = [f"{namespace_of(pod)}.svc.{domain}", f"svc.{domain}", domain]
        options = {"ndots": "5"}
    extra = spec.get("dnsConfig") or {}
    nameservers += [server for server in extra.get("nameservers") or [] if server not in nameservers]
    searches += [search for search in extra.get("searches") or [] if search not in searches]
    options |= {option["name"]: option.get("value") for option in extra.get("options") or []}
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {server}" for server in nameservers]
    if options:
        shown = [name if value is None else f"{name}:{value}" for name, value in options.items()]
        lines.append(f"options {' '.join(shown)}")
    return "".join(f"{line}\n" for line in lines)
