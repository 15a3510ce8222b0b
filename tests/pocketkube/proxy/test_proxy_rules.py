"""The rules text: equal to a real node's, and right for every kind of Service that the real dumps don't have."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_parts import DATA, NODE, applied, comparable, endpoint, endpoint_slice, recorded_objects, service

from lab_helpers.iptables import Host, Packet, Ruleset, Tables, distribution, parse, trace
from lab_helpers.iptables.renderer import render_rule
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.proxy import naming
from lab_helpers.pocketkube.proxy.drift import Expectation
from lab_helpers.pocketkube.proxy.options import NodeInfo, ProxyOptions
from lab_helpers.pocketkube.proxy.restore_text import LARGEST_TRANSACTION, TableText
from lab_helpers.pocketkube.proxy.rules import RuleBook, render_rules
from lab_helpers.pocketkube.proxy.service_ports import ports_with_endpoints

SVC, SVL = "KUBE-SVC-LOLE4ISW44XBNF3G", "KUBE-SVL-LOLE4ISW44XBNF3G"
EXT, FW = "KUBE-EXT-LOLE4ISW44XBNF3G", "KUBE-FW-LOLE4ISW44XBNF3G"
SEP_1, SEP_2 = "KUBE-SEP-2OYZRSTTDHUPO7SU", "KUBE-SEP-4BF5YOXF4CNSHTIN"
PLAIN = ProxyOptions(nfacct_counters=frozenset())
TWO = ["10.244.0.2", "10.244.0.3"]


def rules_of(services: list[Obj], slices: list[Obj], options: ProxyOptions = PLAIN) -> Ruleset:
    return applied(render_rules(services, slices, NODE, options))


def lines(ruleset: Ruleset, chain: str, table: str = "nat") -> list[str]:
    return [render_rule(rule).strip() for rule in ruleset.rules(table, chain)]


def mentions(ruleset: Ruleset, text: str) -> list[str]:
    return [
        f"{table.name} {chain.name}" + render_rule(rule)
        for table, chain, rule in ruleset.walk()
        if text in rule.comment
    ]


@pytest.mark.parametrize("name", ["01-demo-1pod", "02-demo-3pods", "04-demo-0pods", "05-nodeport"])
def test_the_rules_are_those_of_a_real_node(name: str) -> None:
    services, slices = recorded_objects(name)
    text = render_rules(services, slices, NodeInfo("ref-node", "10.250.0.1"))
    real = parse(DATA.joinpath(f"{name}.iptables-save.txt").read_text())
    assert comparable(applied(text)) == comparable(real)


def test_names_of_chains() -> None:
    assert naming.chain_hash("ns1/svc1:p80tcp") == "XPGD46QRK7WJZT7O"
    assert naming.endpoint_chain("ns1/svc1:p80", "tcp", "10.180.0.1:80") == "KUBE-SEP-SXIVWICOYRO3J4NJ"
    assert naming.cluster_policy_chain("default/kubernetes:https", "tcp") == "KUBE-SVC-NPX46M4PTMTKRN6Y"
    assert naming.is_service_chain("KUBE-FW-ABC") and not naming.is_service_chain("KUBE-SERVICES")
    assert len(naming.external_chain("n" * 63 + "/" + "s" * 63, "sctp")) <= 28


def test_a_node_port_service() -> None:
    rules = rules_of([service(ports=[{"port": 80, "nodePort": 30080}], type="NodePort")], [endpoint_slice(TWO)])
    cluster_ip = '-d 10.96.0.20/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80'
    assert lines(rules, "KUBE-SERVICES")[0] == f"{cluster_ip} -j {SVC}"
    assert lines(rules, "KUBE-NODEPORTS") == [
        f'-p tcp -m comment --comment "default/web" -m tcp --dport 30080 -j {EXT}'
    ]
    assert lines(rules, SVC) == [
        f"! -s 10.244.0.0/16 {cluster_ip} -j KUBE-MARK-MASQ",
        '-m comment --comment "default/web -> 10.244.0.2:8080" -m statistic --mode random'
        f" --probability 0.50000000000 -j {SEP_1}",
        f'-m comment --comment "default/web -> 10.244.0.3:8080" -j {SEP_2}',
    ]
    assert lines(rules, EXT) == [
        '-m comment --comment "masquerade traffic for default/web external destinations" -j KUBE-MARK-MASQ',
        f"-j {SVC}",
    ]
    assert lines(rules, SEP_1) == [
        '-s 10.244.0.2/32 -m comment --comment "default/web" -j KUBE-MARK-MASQ',
        '-p tcp -m comment --comment "default/web" -m tcp -j DNAT --to-destination 10.244.0.2:8080',
    ]


def test_without_endpoints_every_way_in_is_rejected() -> None:
    svc = service(
        ports=[{"port": 80, "nodePort": 30080}],
        type="LoadBalancer",
        externalIPs=["1.2.3.4"],
        status={"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}]}},
    )
    rules = rules_of([svc], [endpoint_slice([])])
    reject = '-m comment --comment "default/web has no endpoints"'
    end = "-j REJECT --reject-with icmp-port-unreachable"
    assert lines(rules, "KUBE-SERVICES", "filter") == [f"-d 10.96.0.20/32 -p tcp {reject} -m tcp --dport 80 {end}"]
    assert lines(rules, "KUBE-EXTERNAL-SERVICES", "filter") == [
        f"-d 1.2.3.4/32 -p tcp {reject} -m tcp --dport 80 {end}",
        f"-d 5.6.7.8/32 -p tcp {reject} -m tcp --dport 80 {end}",
        f"-p tcp {reject} -m addrtype --dst-type LOCAL -m tcp --dport 30080 {end}",
    ]
    assert not [name for name in rules.tables["nat"].chains if naming.is_service_chain(name)]


def test_a_load_balancer_with_source_ranges() -> None:
    svc = service(
        ports=[{"port": 80, "nodePort": 30080}],
        type="LoadBalancer",
        loadBalancerSourceRanges=["192.168.49.0/24", "203.0.113.0/25"],
        status={"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"ip": "9.9.9.9", "ipMode": "Proxy"}]}},
    )
    rules = rules_of([svc], [endpoint_slice(TWO)])
    balancer = '-m comment --comment "default/web loadbalancer IP"'
    assert lines(rules, "KUBE-SERVICES")[1] == f"-d 5.6.7.8/32 -p tcp {balancer} -m tcp --dport 80 -j {FW}"
    assert lines(rules, FW) == [
        f"-s 192.168.49.0/24 {balancer} -j {EXT}",
        f"-s 203.0.113.0/25 {balancer} -j {EXT}",
        f"-s 5.6.7.8/32 {balancer} -j {EXT}",
        '-m comment --comment "other traffic to default/web will be dropped by KUBE-PROXY-FIREWALL"',
    ]
    assert lines(rules, "KUBE-PROXY-FIREWALL", "filter") == [
        f'-d 5.6.7.8/32 -p tcp -m comment --comment "default/web traffic not accepted by {FW}"'
        " -m tcp --dport 80 -j DROP"
    ]
    assert not mentions(rules, "9.9.9.9")


def test_a_source_range_of_everything_is_none() -> None:
    svc = service(
        type="LoadBalancer",
        loadBalancerSourceRanges=["0.0.0.0/0"],
        status={"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}]}},
    )
    rules = rules_of([svc], [endpoint_slice(TWO)])
    assert FW not in rules.tables["nat"].chains
    assert lines(rules, "KUBE-SERVICES")[1].endswith(f"-j {EXT}")


def test_external_policy_local() -> None:
    svc = service(ports=[{"port": 80, "nodePort": 30080}], type="NodePort", externalTrafficPolicy="Local")
    here, there = endpoint("10.244.0.2"), endpoint("10.244.0.3", "other")
    rules = rules_of([svc], [endpoint_slice([here, there])])
    destinations, from_node = 'default/web external destinations"', "-m addrtype --src-type LOCAL"
    assert lines(rules, EXT) == [
        f'-s 10.244.0.0/16 -m comment --comment "pod traffic for {destinations} -j {SVC}',
        f'-m comment --comment "masquerade LOCAL traffic for {destinations} {from_node} -j KUBE-MARK-MASQ',
        f'-m comment --comment "route LOCAL traffic for {destinations} {from_node} -j {SVC}',
        f"-j {SVL}",
    ]
    assert lines(rules, SVL) == [f'-m comment --comment "default/web -> 10.244.0.2:8080" -j {SEP_1}']
    elsewhere = rules_of([svc], [endpoint_slice([there])])
    assert lines(elsewhere, EXT)[-1].endswith(f"-j {SVC}") and SVL not in elsewhere.tables["nat"].chains
    assert lines(elsewhere, "KUBE-EXTERNAL-SERVICES", "filter") == [
        '-p tcp -m comment --comment "default/web has no local endpoints" -m addrtype --dst-type LOCAL'
        " -m tcp --dport 30080 -j DROP"
    ]


def test_internal_policy_local() -> None:
    svc = service(internalTrafficPolicy="Local")
    here, there = endpoint("10.244.0.2"), endpoint("10.244.0.3", "other")
    rules = rules_of([svc], [endpoint_slice([here, there])])
    assert lines(rules, "KUBE-SERVICES")[0].endswith(f"-j {SVL}")
    assert SVC not in rules.tables["nat"].chains and SEP_2 not in rules.tables["nat"].chains
    elsewhere = rules_of([svc], [endpoint_slice([there])])
    assert lines(elsewhere, "KUBE-SERVICES", "filter")[0].endswith("-j DROP")


def test_session_affinity() -> None:
    svc = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    rules = rules_of([svc], [endpoint_slice(TWO)])
    remembered = [line for line in lines(rules, SVC) if "recent" in line]
    assert remembered[0] == (
        '-m comment --comment "default/web -> 10.244.0.2:8080" -m recent --rcheck --seconds 60 --reap'
        f" --name {SEP_1} --mask 255.255.255.255 --rsource -j {SEP_1}"
    )
    assert f"-m recent --set --name {SEP_1} --mask 255.255.255.255 --rsource -m tcp -j DNAT" in lines(rules, SEP_1)[1]
    assert [share.probability for share in distribution(rules, "default", "web")] == [Fraction(1, 2)] * 2
    later = Host(("192.168.49.2",), recent={SEP_2: {"10.244.0.9": 30.0}})
    packet = Packet("10.244.0.9", "10.96.0.20", 80, in_interface="veth")
    assert trace(packet, rules, later).destinations() == {"10.244.0.3:8080": 1}


def test_external_ips_and_health_check_node_ports() -> None:
    svc = service(externalIPs=["1.2.3.4", "::1"], healthCheckNodePort=31000)
    rules = rules_of([svc], [endpoint_slice(TWO)])
    assert lines(rules, "KUBE-SERVICES")[1] == (
        f'-d 1.2.3.4/32 -p tcp -m comment --comment "default/web external IP" -m tcp --dport 80 -j {EXT}'
    )
    assert lines(rules, "KUBE-NODEPORTS", "filter") == [
        '-p tcp -m comment --comment "default/web health check node port" -m tcp --dport 31000 -j ACCEPT'
    ]


@pytest.mark.parametrize(
    "svc",
    [
        service(ip="None"),
        service(ip=""),
        service(ip="fd00::20"),
        service(type="ExternalName", externalName="example.org"),
    ],
)
def test_services_without_a_cluster_ip_have_no_rules(svc: Obj) -> None:
    assert not mentions(rules_of([svc], [endpoint_slice(TWO)]), "default/web")


def test_named_ports_and_protocols_are_kept_apart() -> None:
    svc = service(ports=[{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}])
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 5353}]
    rules = rules_of([svc], [endpoint_slice(["10.244.0.2"], ports=ports)])
    assert distribution(rules, "default", "web", "dns")[0].endpoint == "10.244.0.2:53"
    assert distribution(rules, "default", "web", "dns-tcp")[0].endpoint == "10.244.0.2:5353"
    assert "-p udp" in lines(rules, "KUBE-SERVICES")[0]


def test_options_of_the_proxy() -> None:
    services, slices = [service()], [endpoint_slice(TWO)]
    everything = rules_of(services, slices, ProxyOptions(nfacct_counters=frozenset(), masquerade_all=True))
    assert lines(everything, SVC)[0].startswith("-d 10.96.0.20/32")
    nothing = rules_of(services, slices, ProxyOptions(nfacct_counters=frozenset(), cluster_cidr=""))
    assert "KUBE-MARK-MASQ" not in lines(nothing, SVC)[0]
    beyond = rules_of(services, slices, ProxyOptions(nfacct_counters=frozenset(), localhost_node_ports=False))
    assert lines(beyond, "KUBE-SERVICES")[-1].startswith("! -d 127.0.0.0/8 -m comment")
    assert lines(beyond, "KUBE-FIREWALL", "filter") == []
    limited = rules_of(services, slices, ProxyOptions(node_port_addresses=("192.168.49.0/24",)))
    assert lines(limited, "KUBE-SERVICES")[-1].startswith("-d 192.168.49.2/32 -m comment")
    elsewhere = rules_of(services, slices, ProxyOptions(node_port_addresses=("172.16.0.0/12",)))
    assert not [line for line in lines(elsewhere, "KUBE-SERVICES") if "KUBE-NODEPORTS" in line]
    liberal = rules_of(services, slices, ProxyOptions(conntrack_tcp_be_liberal=True, random_fully=False))
    assert "INVALID" not in "".join(lines(liberal, "KUBE-FORWARD", "filter"))
    assert lines(liberal, "KUBE-POSTROUTING")[-1].endswith("-j MASQUERADE")


def test_a_large_cluster_goes_without_comments_at_its_endpoints() -> None:
    rules = rules_of([service()], [endpoint_slice(TWO)], ProxyOptions(large_cluster_endpoints=1))
    assert all("-> 10.244" not in line for line in lines(rules, SVC))
    assert lines(rules, SEP_1)[0] == "-s 10.244.0.2/32 -j KUBE-MARK-MASQ"
    assert distribution(rules, "default", "web")[0].endpoint == "10.244.0.2:8080"


def set_service(book: RuleBook, svc: Obj, *slices: Obj) -> bool:
    return book.set_service(f"default/{svc['metadata']['name']}", ports_with_endpoints(svc, slices, NODE))


def test_chains_that_are_not_needed_any_more_are_deleted() -> None:
    book = RuleBook(NODE, PLAIN)
    set_service(book, service(), endpoint_slice(TWO))
    before = applied(book.full_text())
    assert set_service(book, service(), endpoint_slice(TWO[:1]))
    assert not set_service(book, service(), endpoint_slice(TWO[:1]))
    text = book.partial_text()
    assert f"-X {SEP_2}" in text
    # What all Services share is as it was.
    assert "KUBE-SERVICES" not in text and "*filter" not in text
    gone = before.tables["nat"].chains.keys() - applied(book.full_text(present={SEP_1})).tables["nat"].chains.keys()
    assert gone == {SEP_2}


changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(
            [
                None,
                {},
                {"ports": [{"port": 81}]},
                {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "name": "x"}]},
                {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Local"},
                {"externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP"},
                {
                    "type": "LoadBalancer",
                    "loadBalancerSourceRanges": ["10.0.0.0/8"],
                    "status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}]}},
                },
            ]
        ),
        st.lists(st.sampled_from(["10.244.0.2", "10.244.0.3", "10.244.1.4"]), unique=True),
    ),
    min_size=1,
    max_size=6,
)


@given(changes)
@settings(max_examples=60, deadline=None)
def test_changes_one_by_one_lead_to_the_rules_of_a_fresh_node(steps: list[tuple[str, Obj | None, list[str]]]) -> None:
    book, node = RuleBook(NODE, PLAIN), Tables()
    node.restore(book.full_text())
    expectation = Expectation()
    expectation.written(book.full_text(), full=True)
    wanted: dict[str, tuple[Obj, Obj]] = {}
    for name, spec, ips in steps:
        if spec is None:
            wanted.pop(name, None)
            book.set_service(f"default/{name}", ())
        else:
            svc = service(name, f"10.96.0.{ord(name)}", **spec)
            found = [endpoint(ip, "node" if ip != "10.244.1.4" else "other") for ip in ips]
            wanted[name] = svc, endpoint_slice(found, service=name)
            set_service(book, *wanted[name])
        text = book.partial_text()
        node.restore(text)
        expectation.written(text, full=False)
    fresh = rules_of([svc for svc, _ in wanted.values()], [slices for _, slices in wanted.values()])
    assert comparable(node.ruleset) == comparable(fresh)
    assert expectation.missing(node.save()) == []


def test_no_transaction_is_larger_than_the_kernel_takes_from_anybody() -> None:
    text = TableText("nat")
    for n in range(300):
        text.add([f"KUBE-SVC-{n}"], [f"-A KUBE-SVC-{n} -m comment --comment x -j KUBE-MARK-MASQ"] * 3)
    transactions = "\n".join(text.lines()).split("COMMIT")[:-1]
    assert len(transactions) == 3
    assert all(transaction.count("\n-A") * 590 < LARGEST_TRANSACTION for transaction in transactions)
    assert sum(transaction.count("\n:") for transaction in transactions) == 300
    assert all(transaction.count("\n*nat") == 1 or transaction.startswith("*nat") for transaction in transactions)


def many(count: int, endpoints: int) -> tuple[list[Obj], list[Obj]]:
    services = [service(f"s{n}", f"10.96.{n // 250}.{n % 250 + 1}") for n in range(count)]
    slices = [
        endpoint_slice([f"10.244.{n % 250}.{m + 1}" for m in range(endpoints)], service=f"s{n}") for n in range(count)
    ]
    return services, slices


def test_a_thousand_services_are_written_in_a_second_and_one_change_in_a_moment() -> None:
    services, slices = many(1000, 10)
    started = time.process_time()
    book = RuleBook(NODE, PLAIN)
    for svc, endpoints in zip(services, slices, strict=True):
        set_service(book, svc, endpoints)
    book.full_text()
    assert time.process_time() - started < 2.0
    started = time.process_time()
    set_service(book, services[7], endpoint_slice(["10.244.9.9"], "s7"))
    text = book.partial_text()
    assert time.process_time() - started < 0.02
    assert text.count("-A KUBE-SEP-") == 2
    assert "KUBE-SERVICES" not in text


addresses = st.sets(st.tuples(st.integers(0, 3), st.integers(2, 250)), min_size=1, max_size=30)


@given(addresses, st.sampled_from([{}, {"sessionAffinity": "ClientIP"}, {"type": "NodePort"}]))
@settings(max_examples=40, deadline=None)
def test_every_endpoint_gets_the_same_part(parts: set[tuple[int, int]], spec: Obj) -> None:
    ips = [f"10.244.{a}.{b}" for a, b in sorted(parts)]
    rules = rules_of([service(**spec)], [endpoint_slice(ips)])
    shares = {share.endpoint: share.probability for share in distribution(rules, "default", "web")}
    assert shares == {f"{ip}:8080": Fraction(1, len(ips)) for ip in ips}
    packet = Packet("10.245.0.9", "10.96.0.20", 80, in_interface="veth")
    assert trace(packet, rules, Host(("192.168.49.2",))).destinations() == shares
