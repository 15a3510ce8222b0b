"""The picture and its text form: what is in it, told apart by shape and words, always the same."""

from __future__ import annotations

import shutil
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from recorded_objects import Recorded, set_not_ready

from lab_helpers.topology import graph, text
from lab_helpers.topology.lanes import MOST_SINGLE_PODS
from lab_helpers.topology.picture import Picture

SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> str:
    return " ".join("".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text"))


def ids(svg: str) -> set[str]:
    return {node.get("id") or "" for node in ET.fromstring(svg).iter(f"{SVG}g")}


def test_the_whole_path_is_in_the_picture() -> None:
    svg = graph.render(Recorded("02-demo-3pods").topology())
    for part in ("node ref-node", "ClusterIP 10.96.153.200", "KUBE-SVC-IIAMO7FIK2H3WTUL", "33.3 % to 10.244.0.3:80"):
        assert part in words(svg)
    assert "EndpointSlice" in words(svg) and "demo-service-zmsxq" in words(svg)
    assert "demo-service-pod-deployhttpd-86b96bb76d-zqpp9" in ids(svg)
    assert "demo-service-path-demo-service-zmsxq-10.244.0.3-80" in ids(svg)
    assert "demo-service-target-demo-service-zmsxq-10.244.0.3-80" in ids(svg)


def test_the_picture_says_in_one_sentence_what_it_shows() -> None:
    topology = Recorded("02-demo-3pods").topology()
    root = ET.fromstring(graph.render(topology))
    assert root.findtext(f"{SVG}title") == "Service demo-service"
    assert root.findtext(f"{SVG}desc") == topology.summary
    assert root.get("role") == "img"


@pytest.mark.parametrize("state", ["01-demo-1pod", "02-demo-3pods", "04-demo-0pods"])
def test_text_has_one_size_however_much_is_shown(state: str) -> None:
    recorded = Recorded(state)
    for pictured in (recorded.topology(), recorded.topology([])):
        root = ET.fromstring(graph.render(pictured))
        scale = float(root.get("width", "")) / float(root.get("viewBox", "").split()[2])
        sizes = {round(float(node.get("font-size", "")) * scale, 1) for node in root.iter(f"{SVG}text")}
        assert sizes == {13.3}
        assert "max-width:none" in root.get("style", ""), "an exported page would shrink it"


def test_states_differ_in_shape_and_words() -> None:
    recorded = Recorded("02-demo-3pods")
    set_not_ready(recorded.pods[0], "ImagePullBackOff")
    recorded.pods[1]["metadata"]["deletionTimestamp"] = "2026-11-22T08:00:00Z"
    topology = recorded.topology()
    dot = graph.source(topology).source
    assert "shape=octagon" in dot and "shape=hexagon" in dot and "shape=box" in dot
    shown = words(graph.render(topology))
    assert "NOT READY: ImagePullBackOff" in shown and "TERMINATING" in shown and "ready" in shown


def test_the_same_state_gives_the_same_picture() -> None:
    assert graph.render(Recorded("02-demo-3pods").topology()) == graph.render(Recorded("02-demo-3pods").topology())


def test_without_endpoints_the_rule_says_reject() -> None:
    svg = graph.render(Recorded("04-demo-0pods").topology())
    assert "REJECT: no endpoints" in words(svg)


def test_many_pods_are_grouped_by_node() -> None:
    recorded = Recorded("01-demo-1pod")
    topology = recorded.topology(recorded.make_pods(20))
    svg = graph.render(topology)
    assert "10 Pods" in words(svg) and "10 rules, 5.0 % each" in words(svg)
    assert len(topology.pods) > MOST_SINGLE_PODS
    assert "10 Pods 10.244.0.3 to 10.244.0.21 on node-0: ready" in text.render(topology)


def test_ten_pods_are_drawn_in_150_milliseconds() -> None:
    recorded = Recorded("01-demo-1pod")
    topology = recorded.topology(recorded.make_pods(10))
    graph.render(topology)
    best = min(_seconds(lambda: graph.render(topology)) for _ in range(3))
    assert best < 0.15


def test_where_there_is_no_dot_the_wheel_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from graphviz.backend import dot_command

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dot_command, "DOT_BINARY", Path("dot"))
    assert shutil.which("dot") is None
    assert "KUBE-SVC" in words(graph.render(Recorded("01-demo-1pod").topology()))


def test_the_text_form_follows_the_same_path() -> None:
    lines = text.render(Recorded("02-demo-3pods").topology()).splitlines()
    assert lines[0] == "node ref-node ─→"
    assert "ClusterIP 10.96.153.200" in lines[1]
    assert [line for line in lines if "33.3 %" in line and "ready ─→ Pod deployhttpd-" in line] == lines[3:6]


def test_a_picture_offers_svg_and_text(tmp_path: Path) -> None:
    picture = Picture(Recorded("01-demo-1pod").topology())
    bundle = picture._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/plain"] == repr(picture)
    assert picture.save(tmp_path / "picture.svg").read_text() == picture.svg


def _seconds(draw: object) -> float:
    start = time.perf_counter()
    assert callable(draw)
    draw()
    return time.perf_counter() - start
