"""kube-proxy in nftables mode: Services and EndpointSlices -> the table `ip kube-proxy` of a node's kernel.

naming         the names of chains and affinity sets
base_table     what every node has: base chains, sets and maps
service_table  the chains, sets and elements of one Service
transaction    the text for `nft -f`
listing        what `nft list table` says a kernel has
mode           keeps one node's table in step
"""
