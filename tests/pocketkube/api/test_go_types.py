"""The API's types as Go has them."""

from __future__ import annotations

import json

from recorded_samples import DATA

from lab_helpers.pocketkube.go_types import difference, embedding, go_form, named_type


def test_a_refused_change_of_a_pod_is_shown_byte_for_byte_as_a_real_server_showed_it() -> None:
    samples = json.loads((DATA / "api_samples.json").read_text())["samples"]
    answers = {item["label"]: item["answer"] for item in samples}
    spec = answers["pod created, defaults filled"]["spec"]
    refused = answers["pod spec change refused"]["message"]
    assert refused.endswith("negative)\n" + difference("PodSpec", spec, {**spec, "hostname": "x"}))


def test_what_a_pod_shares_with_its_host_is_in_the_security_context() -> None:
    form = go_form("PodSpec", {"hostNetwork": True, "securityContext": {"runAsUser": 5}})
    assert (form["SecurityContext"]["HostNetwork"], form["SecurityContext"]["RunAsUser"]) == (True, 5)


def test_scalars_and_embedded_structs_have_names() -> None:
    assert named_type("core.v1.Toleration", "operator") == "v1.TolerationOperator"
    assert (embedding("core.v1.Volume", "hostPath"), embedding("core.v1.Volume", "name")) == ("VolumeSource", "")
