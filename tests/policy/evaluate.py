"""The language of rules again, from its grammar alone: what a file of rules means, and what is decided.

Reads a JSON document from each line of the standard input, a file of rules with queries, and writes one with
what each query comes to. `main.rs` compares that with the node's own evaluation.
"""

import ipaddress
import json
import re
import sys

PHASES = ["route", "request", "post-cache", "response", "reply", "done"]

# Field: (kind, first phase that knows it).
FIELDS = {
    "phase": ("phase", "route"), "colo": ("text", "route"), "node": ("text", "route"),
    "listener": ("listener", "route"), "dst": ("network", "route"), "src": ("network", "route"),
    "country": ("country", "request"), "asn": ("asn", "request"), "transport": (["udp", "tcp"], "route"),
    "family": ({"ipv4": 4, "4": 4, "ipv6": 6, "6": 6}, "route"), "opcode": ("opcode", "route"),
    "qname": ("name", "route"), "qname-suffix": ("name", "route"), "qname-labels": ("number", "route"),
    "qtype": ("type", "route"), "qclass": ("class", "route"), "rd": ("bool", "route"), "do": ("bool", "route"),
    "edns": ("bool", "route"), "ecs": ("bool", "route"), "rcode": ("rcode", "response"),
    "outcome": (["ok", "timeout", "refused", "bad"], "response"), "upstream": ("upstream", "response"),
    "rtt": ("time", "response"), "cache": (["hit", "stale", "miss"], "post-cache"), "tag": ("tag", "route"),
    "app": ("app", "request"), "sample": ("ratio", "route"),
}

# Action: (first phase, last phase, ends its phase).
ACTIONS = {
    "native": ("route", "post-cache", True), "answer": ("route", "reply", True), "refuse": ("route", "reply", True),
    "drop": ("route", "reply", True), "truncate": ("route", "reply", True), "forward": ("route", "post-cache", True),
    "resolve": ("route", "post-cache", True), "app": ("route", "post-cache", True),
    "cache-only": ("route", "request", True), "retry": ("response", "response", True), "pass": ("route", "done", True),
    "no-store": ("response", "response", False), "divert": ("route", "post-cache", False),
    "tag": ("route", "reply", False),
}

TYPES = {name: number for number, name in enumerate(
    "A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB X25 ISDN RT NSAP NSAP-PTR SIG KEY PX "
    "GPOS AAAA LOC NXT EID NIMLOC SRV ATMA NAPTR KX CERT A6 DNAME SINK OPT APL DS SSHFP IPSECKEY RRSIG NSEC DNSKEY "
    "DHCID NSEC3 NSEC3PARAM TLSA SMIMEA . HIP NINFO RKEY TALINK CDS CDNSKEY OPENPGPKEY CSYNC ZONEMD SVCB HTTPS "
    "DSYNC".split(), 1)}
TYPES |= {"SPF": 99, "UINFO": 100, "UID": 101, "GID": 102, "UNSPEC": 103, "NID": 104, "L32": 105, "L64": 106,
          "LP": 107, "EUI48": 108, "EUI64": 109, "NXNAME": 128, "TKEY": 249, "TSIG": 250, "IXFR": 251, "AXFR": 252,
          "MAILB": 253, "MAILA": 254, "ANY": 255, "URI": 256, "CAA": 257, "AVC": 258, "DOA": 259, "AMTRELAY": 260,
          "RESINFO": 261, "TA": 32768, "DLV": 32769}
CLASSES = {"IN": 1, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255, "*": 255}
OPCODES = {"QUERY": 0, "IQUERY": 1, "STATUS": 2, "NOTIFY": 4, "UPDATE": 5, "DSO": 6}
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5, "YXDOMAIN": 6,
          "YXRRSET": 7, "NXRRSET": 8, "NOTAUTH": 9, "NOTZONE": 10, "BADVERS": 16, "BADCOOKIE": 23}
CODES = {"type": (TYPES, "TYPE", 65535), "class": (CLASSES, "CLASS", 65535), "opcode": (OPCODES, "OPCODE", 15),
         "rcode": (RCODES, "RCODE", 4095)}
BOOLS = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}
UNITS = {"us": 1, "ms": 1000, "s": 1000000, "m": 60000000}
LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

TOKEN = re.compile(r"""(?P<space>[ \t\r\n]+)|(?P<comment>\#[^\n]*)|(?P<sign>!=|<=|>=|[{}(),=<>])
                       |(?P<word>(?:\\[ -~]|!(?!=)|[^ \t\r\n{}(),=<>\#!\\"'`;\x00-\x1f\x7f-\U0010ffff])+)""", re.X)


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


def tokens(text):
    """(kind, text, line) of each token, and an end."""
    found, at, line = [], 0, 0
    while at < len(text):
        match = TOKEN.match(text, at)
        need(match, f"nothing can be read at {at}")
        if match.lastgroup in ("word", "sign"):
            found.append((match.lastgroup, match.group(), line))
        line += match.group().count("\n")
        at = match.end()
    return found + [("end", "", line + 1)]


def digits(text, most):
    need(re.fullmatch("[0-9]+", text) and int(text) <= most, f"{text} is not a number")
    return int(text)


def code(kind, word):
    names, prefix, most = CODES[kind]
    if word.upper() in names and word != ".":
        return names[word.upper()]
    rest = word[len(prefix):] if word.upper().startswith(prefix) else word
    return digits(rest, most)


def name(word):
    """A domain name as a tuple of labels in lower case."""
    if word == ".":
        return ()
    labels, label, star, at = [], b"", False, 0
    while at < len(word):
        if word[at] == ".":
            need(label and not (star and label == b"*"), "a label is empty, or an asterisk")
            labels, label, star = labels + [label], b"", False
        elif word[at] == "\\":
            escape = word[at + 1:at + 4]
            if escape[:1].isdigit():
                need(re.fullmatch("[0-9]{3}", escape) and int(escape) < 256, "an escape has three digits")
                label, at = label + bytes([int(escape)]), at + 2
            else:
                label += escape[:1].encode()
            star, at = False, at + 1
        else:
            label, star = label + word[at].encode(), word[at] == "*"
        at += 1
    if label:
        need(not (star and label == b"*"), "an asterisk")
        labels.append(label)
    need(all(0 < len(label) <= 63 for label in labels), "a label has 1 to 63 bytes")
    need(sum(len(label) + 1 for label in labels) + 1 <= 255, "a name has 255 bytes at most")
    return tuple(label.lower() for label in labels)


def address(word):
    """(address, port or None)."""
    try:
        need("%" not in word, "scopes are not read")
        return ipaddress.ip_address(word), None
    except ValueError:
        pass
    match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::([0-9]+))?", word) or re.fullmatch(r"([0-9.]+):([0-9]+)", word)
    need(match, f"{word} is not an address")
    try:
        found = ipaddress.ip_address(match[1])
    except ValueError as error:
        raise Refused(str(error)) from error
    need(found.version == (6 if word[0] == "[" else 4), "brackets are for IPv6")
    return found, digits(match[2], 65535) if match[2] else None


def server(word):
    found, port = address(word)
    need(not found.is_unspecified and not found.is_multicast and port != 0, f"{word} is not one server")
    return str(found), 53 if port is None else port


def time(word):
    match = re.fullmatch("([0-9]+)(us|ms|s|m)", word)
    need(match, f"{word} is not a time")
    return int(match[1]) * UNITS[match[2]]


def network(word):
    try:
        need(re.fullmatch("[^/]+(/(0|[1-9][0-9]*))?", word) and "%" not in word, "not a network")
        return ipaddress.ip_network(word, strict=True)
    except ValueError as error:
        raise Refused(str(error)) from error


def value(kind, word):
    if isinstance(kind, list):
        need(word in kind, f"{word} is none of {kind}")
        return word
    if isinstance(kind, dict):
        need(word in kind, f"{word} is none of {kind}")
        return kind[word]
    if kind in CODES:
        return code(kind, word)
    if kind == "phase":
        need(word in PHASES, f"{word} is not a phase")
    elif kind == "bool":
        need(word in BOOLS, f"{word} is neither true nor false")
        return BOOLS[word]
    elif kind == "name":
        return name(word)
    elif kind == "network":
        return network(word)
    elif kind == "country":
        need(re.fullmatch("[A-Za-z]{2}", word), "not a country")
        return word.upper()
    elif kind == "asn":
        return digits(word[2:] if word[:2].upper() == "AS" else word, 2**32 - 1)
    elif kind == "number":
        return digits(word, 2**32 - 1)
    elif kind == "time":
        return time(word)
    elif kind == "ratio":
        match = re.fullmatch("([0-9]+)/([0-9]+)", word)
        need(match and 0 < int(match[1]) <= int(match[2]) < 2**32, "not a share")
        return int(match[1]), int(match[2])
    elif kind == "listener":
        return int(word) if re.fullmatch("[0-9]{1,5}", word) else address(word)
    elif kind == "tag":
        need(LABEL.match(word), f"{word} is not a tag")
    return word


class Reader:
    """Recursive descent. Conditions become nested tuples: ("and", [..]), ("not", c), ("test", field, op, values)."""

    def __init__(self, text):
        self.tokens, self.at = tokens(text), 0

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def is_here(self, text, kind="word"):
        return self.tokens[self.at][:2] == (kind, text)

    def take(self, text, kind="word"):
        here = self.is_here(text, kind)
        self.at += here
        return here

    def word(self):
        kind, text, _ = self.next()
        need(kind == "word", f"a word should stand where {text!r} is")
        return text

    def rules(self):
        rules = []
        while self.tokens[self.at][0] != "end":
            line = self.tokens[self.at][2]
            need(self.at == 0 or self.tokens[self.at - 1][2] < line, "a rule begins on a line of its own")
            rules.append(self.rule(line))
        return rules

    def rule(self, line):
        rule = {"name": f"test.rules:{line + 1}", "options": {}}
        kind, text, _ = self.tokens[self.at]
        if kind == "word" and ":" in text:
            rule["name"], rest = text.split(":", 1)
            self.tokens[self.at] = ("word", rest, line)
            self.at += not rest
            self.check_name(rule["name"])
        elif kind == "word" and self.tokens[self.at + 1][0] == "word" and self.tokens[self.at + 1][1][0] == ":":
            rule["name"], rest = text, self.tokens[self.at + 1][1][1:]
            self.tokens[self.at + 1] = ("word", rest, line)
            self.at += 1 if rest else 2
            self.check_name(rule["name"])
        rule["cond"], rule["tests"] = None, []
        self.tests = rule["tests"]
        rule["cond"] = self.cond(0)
        need(len(self.tests) <= 256, "too many tests")
        self.action(rule)
        while self.tokens[self.at][1] in ("dry-run", "log", "timeout", "fallback"):
            option = self.word()
            need(option not in rule["options"], f"{option} twice")
            rule["options"][option] = True
            if option == "timeout":
                rule["options"][option] = time(self.word())
                need(1000 <= rule["options"][option] <= 10000000, "a time-out is from 1 ms to 10 s")
            elif option == "fallback":
                rule["options"][option] = self.word()
                need(rule["options"][option] in ("fail", "refuse", "native", "drop", "next", "stale"), "no fallback")
        return rule

    @staticmethod
    def check_name(word):
        need(LABEL.match(word) and word not in ("none", "other"), f"{word!r} is not a name")

    def cond(self, depth):
        parts = [self.conj(depth)]
        while self.take("or"):
            parts.append(self.conj(depth))
        return ("or", parts) if len(parts) > 1 else parts[0]

    def conj(self, depth):
        parts = [self.term(depth)]
        while self.take("and"):
            parts.append(self.term(depth))
        return ("and", parts) if len(parts) > 1 else parts[0]

    def term(self, depth):
        if self.take("not"):
            return ("not", self.primary(depth))
        return self.primary(depth)

    def primary(self, depth):
        if self.take("(", "sign"):
            need(depth < 32, "too deep")
            inside = self.cond(depth + 1)
            need(self.take(")", "sign"), ") is missing")
            return inside
        return self.test()

    def test(self):
        field = self.word()
        if field == "any":
            self.tests.append(("any", [], 0))
            return ("test", "any", "=", [])
        need(field in FIELDS, f"unknown field {field}")
        kind = FIELDS[field][0]
        negated = False
        if self.is_here("not") or self.is_here("in"):
            negated = self.take("not")
            need(self.take("in") and self.take("{", "sign") and kind != "ratio", "in { .. } should stand here")
            op, values = "=", []
            while not self.take("}", "sign"):
                values.append(value(kind, self.word()))
                self.take(",", "sign")
            need(values, "an empty list")
        else:
            sign, op, _ = self.next()
            need(sign == "sign" and op in ("=", "!=", "<", ">", "<=", ">="), f"{op!r} is not an operator")
            need(op in ("=", "!=") or kind in ("number", "time"), f"{op} is for numbers and times")
            values = [value(kind, self.word())]
            if op == "!=":
                negated, op = True, "="
        self.tests.append((field, values, negated))
        test = ("test", field, op, values)
        return ("not", test) if negated else test

    def action(self, rule):
        rule["action"] = action = self.word()
        need(action in ACTIONS, f"{action} is not an action")
        argument = None
        if action == "forward" and self.take("upstream") or action in ("app", "tag"):
            argument = self.word()
            need(action != "tag" or LABEL.match(argument), "not a tag")
        elif action == "retry":
            need(self.take("upstream"), "upstream is missing")
            argument = self.word()
        elif action == "forward":
            argument = [server(self.word())]
            while self.take(",", "sign"):
                argument.append(server(self.word()))
            need(len(set(argument)) == len(argument) <= 16, "a server twice, or too many")
        elif action == "divert":
            argument = [server(self.word())]
        elif action == "answer":
            argument = code("rcode", self.word())
            need(argument < 16, "needs EDNS")
        rule["argument"] = argument


def substitute(cond, phase):
    """The condition in a phase, without constants: True, False or a condition."""
    if cond[0] == "test":
        return phase in cond[3] if cond[1] == "phase" else cond
    if cond[0] == "not":
        inner = substitute(cond[1], phase)
        return not inner if isinstance(inner, bool) else ("not", inner)
    parts = [substitute(part, phase) for part in cond[1]]
    decisive = cond[0] == "or"
    if decisive in [part for part in parts if isinstance(part, bool)]:
        return decisive
    parts = [part for part in parts if not isinstance(part, bool)]
    return (cond[0], parts) if parts else not decisive


def fields_of(cond):
    if isinstance(cond, bool):
        return set()
    if cond[0] == "test":
        return {cond[1]} - {"any"}
    return set().union(*[fields_of(part) for part in ([cond[1]] if cond[0] == "not" else cond[1])])


def needs_client(cond, wanted=True):
    """Whether the condition is `wanted` only for clients that some test of `src` takes."""
    if isinstance(cond, bool):
        return cond != wanted
    if cond[0] == "test":
        return wanted and cond[1] == "src"
    if cond[0] == "not":
        return needs_client(cond[1], not wanted)
    one_is_enough = (cond[0] == "and") == wanted
    return (any if one_is_enough else all)(needs_client(part, wanted) for part in cond[1])


def first(phase):
    return PHASES.index(phase)


def check(rules, world):
    """What a grammar does not say."""
    names = [rule["name"] for rule in rules]
    need(len(set(names)) == len(names), "two rules of one name")
    servers = [",".join(f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip, port in rule["argument"])
               for rule in rules if isinstance(rule["argument"], list)]
    upstreams = world["upstreams"] + servers
    need(len({rule["argument"] for rule in rules if rule["action"] == "tag"}) <= 64, "too many tags")
    for rule in rules:
        if rule["action"] in ("forward", "retry") and isinstance(rule["argument"], str):
            need(rule["argument"] in upstreams, "no such upstream")
        need(rule["action"] != "app", "no applications")
        for field, values, _ in rule["tests"]:
            need(field != "app", "no applications")
            need(field != "upstream" or all(name in upstreams for name in values), "no such upstream")
        low, high, _ = ACTIONS[rule["action"]]
        can = range(first(low), first(high) + 1)
        if any(field == "phase" for field, _, _ in rule["tests"]):
            asked = {phase: substitute(rule["cond"], phase) for phase in PHASES}
            rule["phases"] = {phase: cond for phase, cond in asked.items() if cond is not False}
            need(rule["phases"], "never asked")
        else:
            known = max([first(FIELDS[field][1]) for field, _, _ in rule["tests"] if field != "any"], default=0)
            both = [phase for phase in can if phase >= known]
            need(both, "no phase knows and can")
            rule["phases"] = {PHASES[both[0]]: rule["cond"]}
        for phase, cond in rule["phases"].items():
            need(first(phase) in can, f"{rule['action']} in {phase}")
            need(all(first(FIELDS[field][1]) <= first(phase) for field in fields_of(cond)), f"not known in {phase}")
            asks = rule["action"] in ("forward", "resolve", "cache-only")
            need(phase != "route" or not asks or needs_client(cond), "an open resolver")
    for phase, most in zip(PHASES, [256] + [1024] * 5):
        need(sum(phase in rule["phases"] for rule in rules) <= most, "too many rules")


def mask64(number):
    return number & (1 << 64) - 1


def chosen(query, some, every):
    """FNV-1a over the client's address and the name in lower case, then MurmurHash3's fmix64."""
    wire = b"".join(bytes([len(label)]) + label for label in query["labels"]) + b"\0"
    hash_ = 0xCBF29CE484222325
    for byte in query["src"].packed + wire:
        hash_ = mask64((hash_ ^ byte) * 0x100000001B3)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        hash_ = mask64((hash_ ^ hash_ >> 33) * factor)
    return (hash_ ^ hash_ >> 33) % every < some


def holds(cond, query, world, tags):
    if isinstance(cond, bool):
        return cond
    if cond[0] == "and":
        return all(holds(part, query, world, tags) for part in cond[1])
    if cond[0] == "or":
        return any(holds(part, query, world, tags) for part in cond[1])
    if cond[0] == "not":
        return not holds(cond[1], query, world, tags)
    _, field, op, values = cond
    if field == "any":
        return True
    if field in ("colo", "node"):
        return world[field] in values
    if field in ("src", "dst"):
        return any(net.version == query[field].version and query[field] in net for net in values)
    if field == "qname":
        return query["labels"] in values
    if field == "qname-suffix":
        return any(query["labels"][len(query["labels"]) - len(suffix):] == suffix for suffix in values
                   if len(suffix) <= len(query["labels"]))
    if field == "tag":
        return any(tag in tags for tag in values)
    if field == "sample":
        return chosen(query, *values[0])
    if field == "listener":
        ip, port = world["listeners"][query["listener"]]
        return any(named == query["listener"] if isinstance(named, int)
                   else named[0] == ip and named[1] in (None, port) for named in values)
    if field == "family":
        return query["src"].version in values
    if field == "qname-labels":
        here = len(query["labels"])
    else:
        here = query[field]
    if here is None:
        return False
    return {"=": here in values, "<": here < values[0], ">": here > values[0], "<=": here <= values[0],
            ">=": here >= values[0]}[op] if op != "=" else here in values


def decide(rules, phase, query, world):
    tags, hits = set(query["tags"]), []
    out = {"taken": None, "divert": None, "no_store": False, "traced": False}
    for number, rule in enumerate(rules):
        if phase not in rule["phases"] or not holds(rule["phases"][phase], query, world, tags):
            continue
        dry = "dry-run" in rule["options"]
        hits.append([number, dry])
        out["traced"] |= "log" in rule["options"]
        if dry:
            continue
        if rule["action"] == "tag":
            tags.add(rule["argument"])
        elif rule["action"] == "no-store":
            out["no_store"] = True
        elif rule["action"] == "divert":
            out["divert"] = number if out["divert"] is None else out["divert"]
        else:
            out["taken"] = number
            break
    return out | {"tags": sorted(tags), "hits": hits}


def answer(document):
    world = document["world"]
    world["listeners"] = [address(listener) for listener in world["listeners"]]
    try:
        rules = Reader(document["text"]).rules()
        check(rules, world)
    except Refused as refused:
        return {"refused": str(refused)}
    decisions = []
    for query in document["queries"]:
        query |= {"src": ipaddress.ip_address(query["src"]), "dst": ipaddress.ip_address(query["dst"])}
        query["labels"] = tuple(bytes.fromhex(label).lower() for label in query["labels"])
        decisions.append(decide(rules, query["phase"], query, world))
    return {"names": [rule["name"] for rule in rules], "phases": [list(rule["phases"]) for rule in rules],
            "actions": [rule["action"] for rule in rules], "decisions": decisions}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
