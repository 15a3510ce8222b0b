"""The path of a Service's traffic as a picture: client, virtual IP, kube-proxy rules, EndpointSlices, Pods.

`model` says what there is, `gather` reads it from a cluster, `graph` and `text` show it.
"""
