"""Reads the files for other programs as those programs do: YAML with PyYAML, XML as dsc-datatool does."""

import pathlib
import sys
from xml.dom import minidom

import yaml

rssac, dsc, date = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]

documents = {}
for path in rssac.glob("*/*/*/*.yaml"):
    document = yaml.safe_load(path.read_text())
    assert document["version"] == "rssac002v3" and document["service"] == "node-1", document
    assert document["start-period"].strftime("%Y-%m-%dT%H:%M:%S%z") == f"{date}T00:00:00+0000", document
    assert path.name == f"node-1-{date.replace('-', '')}-{document['metric']}.yaml", path
    assert path.parent.name == document["metric"], path
    documents[document["metric"]] = document
assert len(documents) == 4, documents
assert documents["traffic-volume"]["dns-udp-queries-received-ipv4"] == 3
assert documents["traffic-volume"]["dns-udp-responses-sent-ipv6"] == 0
assert {key: count for key, count in documents["rcode-volume"].items() if type(key) is int} == {3: 4}
sizes = documents["traffic-sizes"]
assert sizes["udp-request-sizes"] == {"32-47": 3} and sizes["tcp-request-sizes"] == {"32-47": 1}, sizes
assert sum(sizes["udp-response-sizes"].values()) == 3 and sum(sizes["tcp-response-sizes"].values()) == 1, sizes
assert documents["unique-sources"]["num-sources-ipv4"] == 1
assert documents["unique-sources"]["num-sources-ipv6-aggregate"] == 0

found = {}
for path in sorted(dsc.glob("*.xml")):
    for array in minidom.parse(str(path)).getElementsByTagName("array"):
        dimensions = [d.getAttribute("type") for d in array.getElementsByTagName("dimension")]
        start, stop = int(array.getAttribute("start_time")), int(array.getAttribute("stop_time"))
        assert array.getAttribute("dimensions") == "2" and start < stop == int(path.name.split(".")[0])
        for first in array.getElementsByTagName(dimensions[0]):
            for second in first.getElementsByTagName(dimensions[1]):
                key = array.getAttribute("name"), first.getAttribute("val"), second.getAttribute("val")
                found[key] = found.get(key, 0) + int(second.getAttribute("count"))
for key, count in [
    (("qtype", "ALL", "12"), 4),
    (("rcode", "ALL", "3"), 4),
    (("opcode", "ALL", "0"), 4),
    (("edns_version", "ALL", "none"), 4),
    (("do_bit", "ALL", "clr"), 4),
    (("dns_ip_version", "ALL", "IPv4"), 3),
    (("dns_ip_version", "ALL", "IPv6"), 1),
    (("direction_vs_ipproto", "recv", "udp"), 3),
    (("direction_vs_ipproto", "sent", "tcp"), 1),
    (("client_subnet", "ALL", "127.0.0.0"), 3),
    (("client_subnet", "ALL", "::"), 1),
]:
    assert found[key] == count, (key, found)
print("export: all read")
