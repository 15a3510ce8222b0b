"""The cluster's certificate authority."""

from __future__ import annotations

import base64
import json
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.pki import ensure_pki, write_kubeconfig


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return ClusterConfig("lab", tmp_path, nodes=2)


def test_files_are_for_their_owner_alone(config: ClusterConfig) -> None:
    pki = ensure_pki(config)
    assert stat.S_IMODE(pki.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in pki.files()} == {0o600}
    kubeconfig = write_kubeconfig(config, pki, 6443)
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600


def test_a_restart_finds_the_same_certificates(config: ClusterConfig) -> None:
    before = {path: path.read_bytes() for path in ensure_pki(config).files()}
    assert {path: path.read_bytes() for path in ensure_pki(config).files()} == before


def test_a_set_that_is_not_whole_is_made_anew(config: ClusterConfig) -> None:
    pki = ensure_pki(config)
    old = pki.ca_certificate.read_bytes()
    pki.admin_key.unlink()
    ensure_pki(config)
    assert pki.admin_key.is_file()
    assert pki.ca_certificate.read_bytes() != old


def test_the_server_is_known_by_every_name_pods_and_people_use(config: ClusterConfig) -> None:
    certificate = x509.load_pem_x509_certificate(ensure_pki(config).server_certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc.cluster.local" in names.get_values_for_type(x509.DNSName)
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "10.96.0.1", "192.168.49.2", "192.168.49.3"}


def test_the_admin_is_a_member_of_masters(config: ClusterConfig) -> None:
    certificate = x509.load_pem_x509_certificate(ensure_pki(config).admin_certificate.read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=kubernetes-admin,O=system:masters"


def test_the_kubeconfig_holds_all_that_a_client_needs(config: ClusterConfig) -> None:
    pki = ensure_pki(config)
    document = json.loads(write_kubeconfig(config, pki, 6443).read_text())
    assert document["current-context"] == "lab"
    assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    embedded = base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    ssl.create_default_context(cadata=embedded)
