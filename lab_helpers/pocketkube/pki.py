"""The cluster's own certificate authority: serving and client certificates, the service account key, the kubeconfig.

Everything is made once and found again on a restart. Files are readable by their owner alone.
Who may do what with a certificate is left to `api/auth.py`.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from .config import ClusterConfig

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_VALIDITY = timedelta(days=3650)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Pki:
    """The files of one cluster's certificate authority, named as kubeadm names them."""

    directory: Path

    @property
    def ca_certificate(self) -> Path:
        """Who signs everything; Pods get it as `kube-root-ca.crt`."""
        return self.directory / "ca.crt"

    @property
    def server_certificate(self) -> Path:
        """The API server's own certificate."""
        return self.directory / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        """The API server's private key."""
        return self.directory / "apiserver.key"

    @property
    def admin_certificate(self) -> Path:
        """Client certificate of kubernetes-admin, member of system:masters."""
        return self.directory / "admin.crt"

    @property
    def admin_key(self) -> Path:
        """Private key of kubernetes-admin."""
        return self.directory / "admin.key"

    @property
    def service_account_key(self) -> Path:
        """Signs service account tokens."""
        return self.directory / "sa.key"

    def files(self) -> list[Path]:
        """All of them, in the order in which they are written."""
        return [
            self.ca_certificate,
            self.directory / "ca.key",
            self.server_certificate,
            self.server_key,
            self.admin_certificate,
            self.admin_key,
            self.service_account_key,
        ]

    def server_context(self) -> ssl.SSLContext:
        """TLS for the API server: client certificates are asked for, not required."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_certificate, self.server_key)
        context.load_verify_locations(self.ca_certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    def client_context(self) -> ssl.SSLContext:
        """TLS for a client that is kubernetes-admin."""
        context = ssl.create_default_context(cafile=str(self.ca_certificate))
        context.load_cert_chain(self.admin_certificate, self.admin_key)
        return context


def unverified_context() -> ssl.SSLContext:
    """TLS to a Pod, as probes and the proxy subresource speak it: nobody vouches for a Pod's certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ensure_pki(config: ClusterConfig) -> Pki:
    """The cluster's certificates: those that are there, else new ones. A set that is not whole is made anew."""
    pki = Pki(config.pki_dir)
    if all(path.is_file() for path in pki.files()):
        return pki
    pki.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki.directory.chmod(0o700)
    _Authority(config).write(pki)
    return pki


def write_kubeconfig(config: ClusterConfig, pki: Pki, port: int, *, host: str = "127.0.0.1") -> Path:
    """The admin kubeconfig with everything embedded; cluster, context and user bear the cluster's name."""
    name = config.name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"https://{host}:{port}",
                    "certificate-authority-data": _embed(pki.ca_certificate),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
        "preferences": {},
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _embed(pki.admin_certificate),
                    "client-key-data": _embed(pki.admin_key),
                },
            }
        ],
    }
    # JSON is YAML too, and needs no import to write.
    _write_private(config.kubeconfig, (json.dumps(document, indent=2) + "\n").encode())
    return config.kubeconfig


def _embed(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write_private(path: Path, content: bytes) -> None:
    """Writes a file of mode 0600 in one step: a reader sees the old content or the new, also when the disk is full."""
    if path.is_file() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Authority:
    """A new certificate authority and what it signs. EC P-256: a key costs well under a millisecond."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._key = _new_key()
        self._certificate = self._sign("kubernetes", "", self._key, authority=True)

    def write(self, pki: Pki) -> None:
        """Makes and writes every file; the authority's own certificate comes last, as the mark of a whole set."""
        server_key, admin_key, token_key = _new_key(), _new_key(), _new_key()
        server = self._sign("kube-apiserver", "", server_key, names=self._server_names())
        admin = self._sign("kubernetes-admin", "system:masters", admin_key)
        contents = [
            _certificate_pem(self._certificate),
            _key_pem(self._key),
            _certificate_pem(server),
            _key_pem(server_key),
            _certificate_pem(admin),
            _key_pem(admin_key),
            _key_pem(token_key),
        ]
        for path, content in reversed(list(zip(pki.files(), contents, strict=True))):
            _write_private(path, content)

    def _server_names(self) -> list[x509.GeneralName]:
        from cryptography import x509

        config = self._config
        domain = config.cluster_domain
        names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            f"kubernetes.default.svc.{domain}",
        ]
        addresses = ["127.0.0.1", config.kubernetes_service_ip]
        addresses += [config.node_ip(index) for index in range(config.nodes)]
        return [x509.DNSName(name) for name in names] + [
            x509.IPAddress(ipaddress.ip_address(address)) for address in addresses
        ]

    def _sign(
        self,
        common_name: str,
        organization: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        names: list[x509.GeneralName] | None = None,
    ) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID

        subject = _x509_name(common_name, organization)
        issuer = subject if authority else self._certificate.subject
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + _VALIDITY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_key_usage(authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if not authority:
            usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _new_key() -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _x509_name(common_name: str, organization: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
