"""pocketkube: a Kubernetes small enough to read, embedded in ServiceLab.

Real `kubectl` talks to it and its Pods are real processes. README.md in this folder is the map.
It imports nothing from the rest of `lab_helpers` but `iptables` and the error tree.
"""
