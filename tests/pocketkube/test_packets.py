"""Messages between processes keep their borders, their descriptors, and their size."""

from __future__ import annotations

import os

from lab_helpers.pocketkube import packets


def test_messages_arrive_one_by_one_and_the_end_is_seen() -> None:
    ours, theirs = packets.pair()
    packets.send(ours, {"n": 1})
    packets.send(ours, {"n": 2})
    ours.close()
    assert packets.receive(theirs) == ({"n": 1}, [])
    assert packets.receive(theirs) == ({"n": 2}, [])
    assert packets.receive(theirs) is None
    theirs.close()


def test_descriptors_travel_with_small_and_large_messages() -> None:
    ours, theirs = packets.pair()
    for size in (10, 3_000_000):
        reading, writing = os.pipe()
        packets.send(ours, {"text": "x" * size}, [writing])
        os.close(writing)
        received = packets.receive(theirs)
        assert received is not None
        message, descriptors = received
        assert len(message["text"]) == size
        os.write(descriptors[0], b"through")
        assert os.read(reading, 10) == b"through"
        assert not os.get_inheritable(descriptors[0])
        for descriptor in (reading, *descriptors):
            os.close(descriptor)
    ours.close()
    theirs.close()
