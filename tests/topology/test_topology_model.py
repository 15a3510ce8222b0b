"""The model of a Service from what a real cluster answered."""

from __future__ import annotations

import pytest
from recorded_objects import Recorded, set_not_ready

from lab_helpers.topology.model import PodState, nearly_selected, status_text


def test_three_pods_share_connections_equally() -> None:
    topology = Recorded("02-demo-3pods").topology()
    assert [rule.probability for rule in topology.rules] == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert [rule.endpoint for rule in topology.rules] == ["10.244.0.3:80", "10.244.0.4:80", "10.244.0.5:80"]
    assert topology.chains == (("", "KUBE-SVC-IIAMO7FIK2H3WTUL"),)
    assert [endpoint.key for endpoint in topology.endpoints] == [rule.endpoint for rule in topology.rules]
    assert {pod.state for pod in topology.pods} == {PodState.READY}


def test_one_pod_gets_everything() -> None:
    (rule,) = Recorded("01-demo-1pod").topology().rules
    assert (rule.endpoint, rule.probability) == ("10.244.0.3:80", 1.0)


def test_no_pods_means_that_the_node_refuses() -> None:
    topology = Recorded("04-demo-0pods").topology()
    (rule,) = topology.rules
    assert (rule.endpoint, rule.chain) == ("", "REJECT")
    assert "refuse every connection" in topology.summary


def test_a_pod_that_is_not_ready_keeps_its_place_but_has_no_rule() -> None:
    recorded = Recorded("02-demo-3pods")
    address = recorded.slice["endpoints"][1]["addresses"][0]
    recorded.slice["endpoints"][1]["conditions"]["ready"] = False
    set_not_ready(next(pod for pod in recorded.pods if pod["status"]["podIP"] == address))
    topology = recorded.topology()
    (waiting,) = topology.pods_in(PodState.NOT_READY)
    assert waiting.status == "CrashLoopBackOff"
    assert "2 ready, 1 not ready" in topology.summary
    assert [endpoint.state for endpoint in topology.endpoints].count(PodState.NOT_READY) == 1


def test_a_pod_whose_label_is_misspelt_is_nearly_selected() -> None:
    recorded = Recorded("01-demo-1pod")
    recorded.pods[0]["metadata"]["labels"] = {"name": "deploymnt"}
    recorded.slice["endpoints"] = []
    (pod,) = recorded.topology(rules=[]).pods
    assert not pod.selected
    assert pod.why_not == "label name=deploymnt, the selector asks for name=deployment"


@pytest.mark.parametrize(
    ("labels", "nearly"),
    [
        ({"name": "other"}, True),
        ({"app": "deployment"}, True),
        ({"nmae": "x"}, True),
        ({"tier": "front"}, False),
        ({}, False),
    ],
)
def test_what_counts_as_nearly_selected(labels: dict[str, str], nearly: bool) -> None:
    assert bool(nearly_selected({"name": "deployment"}, labels)) is nearly


def test_one_of_two_labels_is_nearly_selected() -> None:
    assert "no label tier" in nearly_selected({"app": "web", "tier": "front"}, {"app": "web"})


def test_without_a_service_all_pods_are_shown_unselected() -> None:
    recorded = Recorded("01-demo-1pod")
    recorded.service, recorded.slices = None, []
    topology = recorded.topology(rules=[])
    assert topology.service is None
    assert [pod.selected for pod in topology.pods] == [False]
    assert "no Service demo-service" in topology.summary


def test_a_pod_under_deletion_is_terminating() -> None:
    recorded = Recorded("01-demo-1pod")
    recorded.pods[0]["metadata"]["deletionTimestamp"] = "2026-11-22T08:00:00Z"
    (pod,) = recorded.topology().pods
    assert (pod.state, status_text(recorded.pods[0])) == (PodState.TERMINATING, "Terminating")


def test_order_does_not_depend_on_the_order_of_the_objects() -> None:
    one, other = Recorded("02-demo-3pods"), Recorded("02-demo-3pods")
    other.pods.reverse()
    other.slice["endpoints"].reverse()
    assert one.topology() == other.topology()
