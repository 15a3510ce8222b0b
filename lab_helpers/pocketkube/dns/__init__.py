"""The cluster's DNS server: names of Services and Pods -> addresses, as CoreDNS's `kubernetes` plugin answers.

    records   what there is to ask for: Services, endpoints and namespaces, kept current by watches
    answer    a query and the records -> the answer; a pure function
    server    UDP and TCP on port 53; health, readiness and metrics over HTTP
    program   `main`: all of it as the program of the `coredns` image, in a Pod

Left out on purpose: names outside of the cluster. No packet leaves the cluster, so there is nobody to ask, and such
queries are answered SERVFAIL at once, as CoreDNS does when it reaches no other server.
"""

from __future__ import annotations

from .program import main

__all__ = ["main"]
