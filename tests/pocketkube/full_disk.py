"""Run by `test_faults_as_root` in a mount namespace of its own: a cluster on a small disk, the argument."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["SERVICELAB_HOME"] = sys.argv[1]

from pocketkube.test_faults import kill_control_plane
from waiting import until

from lab_helpers.clusters import EmbeddedCluster


def fill(file: Path) -> None:
    """Leaves not a byte."""
    with file.open("wb", buffering=0) as filler:
        for size in (4096, 1):
            try:
                while filler.write(b"x" * size):
                    pass
            except OSError:
                continue


def main() -> None:
    cluster, filler = EmbeddedCluster("full"), Path(sys.argv[1]) / "filler"
    cluster.start()
    assert cluster.kubectl("create", "configmap", "before", "--from-literal=a=b").ok
    fill(filler)
    written = []
    for number in range(30):  # the log has pages of its own to use up first
        made = cluster.kubectl("create", "service", "nodeport", f"s{number}", "--tcp=80")
        if not made.ok:
            break
        written.append(f"s{number}")
    assert "The disk is full" in made.stderr and "Free some space" in made.stderr, made.stderr
    assert cluster.kubectl("get", "configmap", "before").ok
    assert "etcd-readiness failed: The disk is full" in cluster.kubectl("get", "--raw", "/readyz").stderr
    kill_control_plane(cluster, "/livez")
    assert cluster.kubectl("get", "configmap", "before").ok, "what was written is served on a full disk, too"
    for number, name in enumerate(written):  # a learner can make room through the API
        deleted = cluster.kubectl("delete", "service", name)
        assert deleted.ok, (number, deleted.stderr)
    written.clear()
    filler.unlink()
    until(lambda: cluster.kubectl("create", "service", "nodeport", "after", "--tcp=80").ok, "space to be used")
    kill_control_plane(cluster)
    names = cluster.kubectl("get", "services", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    assert set(names) == {"kubernetes", "after", *written}, names
    addresses = cluster.kubectl("get", "services", "-o", "jsonpath={.items[*].spec.clusterIP}").stdout.split()
    assert len(addresses) == len(set(addresses)) == len(names)
    cluster.delete()
    assert not list(Path(sys.argv[1]).iterdir())


if __name__ == "__main__":
    main()
