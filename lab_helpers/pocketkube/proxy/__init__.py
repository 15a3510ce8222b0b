"""kube-proxy in iptables mode: Services and EndpointSlices -> rules in a node's kernel.

naming      the names of chains
services    what a Service asks for, port by port
endpoints   which endpoints get its traffic
rules       the rules of one Service port, and the `iptables-restore` text of all of them
conntrack   which UDP connections have to be forgotten
proxier     watches, and keeps the rules of one node in step
"""
