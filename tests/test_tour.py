"""The tour is the published tutorial: it is run as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab_helpers.clusters import EmbeddedCluster


@pytest.mark.kernel
@pytest.mark.kubectl
def test_the_tour_tells_the_whole_story_and_draws_it(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    svg = tmp_path / "picture.svg"
    told = subprocess.run(
        [sys.executable, "-m", "lab_helpers", "tour", "--name", cluster.name, "--svg", str(svg)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    cluster.kubectl("delete", "deployment/deployhttpd", "service/demo-service", "-n", "default")
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("It works!") == 3
    assert "Couldn't connect" in told.stdout
    old, new = re.findall(r"deployhttpd-\S+ .* (10\.244\.\d+\.\d+)", told.stdout)
    assert old != new
    assert "--probability 0.33333333349" in told.stdout
    assert str(svg) in told.stdout
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
