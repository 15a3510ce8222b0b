"""kube-proxy: Services and EndpointSlices -> rules in a node's kernel.

services          what a Service asks for, port by port
endpoints         which endpoints get its traffic
service_ports     both together
routing           who may be sent where on one node, whatever the mode

proxier           watches, and keeps one node in step
mode              what a proxy mode has to offer: iptables_mode, or nftables/ (a room of its own)
service_rules     the iptables rules of one Service port
base_rules        those that every node has; `naming` names their chains
rules             the text of all of them; `restore_text` cuts it to what the kernel takes
drift             whether somebody else changed them
conntrack         which UDP connections have to be forgotten

health            whether kube-proxy is well
service_health    the health check node ports of Services
server            /healthz, /livez, /metrics, /proxyMode and /configz, with `figures` and `configuration`
options           what shapes all of it
"""
