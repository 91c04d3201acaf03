"""Reads every kind of result of a node with the client that is made for Cloudflare Radar.

Argument: the base URL of the node."""

import sys
import warnings
from datetime import datetime, timedelta, timezone

from cloudflare import BadRequestError, Cloudflare

warnings.simplefilter("ignore", DeprecationWarning)
client = Cloudflare(api_token="none", base_url=sys.argv[1], _strict_response_validation=True)
as112 = client.radar.as112

served = as112.timeseries(date_range=["1d"], agg_interval="15m")
assert served.meta.agg_interval == "FIFTEEN_MINUTES" and served.meta.normalization == "RAW_VALUES", served.meta
assert len(served.serie_0.timestamps) == len(served.serie_0.values) == 96, served
assert isinstance(served.serie_0.timestamps[0], datetime)

# The node was asked three times over UDP and IPv4, and once over TCP, IPv6 and with EDNS. All of it was just now, but it
# may be later than the last whole quarter of an hour, where ranges end that are relative.
now = datetime.now(timezone.utc)
dated = as112.timeseries(date_start=[now - timedelta(days=14)], date_end=[now], agg_interval="1d")
assert len(dated.serie_0.values) in (14, 15), dated
soon = now + timedelta(hours=1)
span = {"date_start": [now - timedelta(hours=1)], "date_end": [soon]}
assert sum(int(value) for value in as112.timeseries(**span).serie_0.values) == 4
for dimension, shares in {
    "EDNS": {"SUPPORTED": 25, "NOT_SUPPORTED": 75},
    "DNSSEC": {"SUPPORTED": 0, "NOT_SUPPORTED": 100},
    "IP_VERSION": {"IPv4": 75, "IPv6": 25},
    "PROTOCOL": {"UDP": 75, "TCP": 25, "HTTPS": 0, "TLS": 0},
    "QUERY_TYPE": {"PTR": 100},
    "RESPONSE_CODE": {"NXDOMAIN": 100},
}.items():
    found = as112.summary_v2(dimension, **span).summary_0
    assert {name: float(share) for name, share in found.items()} == shares, found
    # In a week there is one interval with them, whenever the test runs.
    columns = as112.timeseries_groups_v2(dimension, **span, agg_interval="1w").serie_0.model_extra
    assert {name: sum(map(float, column)) for name, column in columns.items()} == shares, columns

# Three of four queries came from a country that is known, and one from an AS.
located = as112.top.locations(**span)
assert located.meta.normalization == "PERCENTAGE", located
assert [(row.client_country_alpha2, row.client_country_name, float(row.value)) for row in located.top_0] == [
    ("PT", "Portugal", 75)
], located
dates = {"dateStart": span["date_start"][0].isoformat(), "dateEnd": soon.isoformat()}
ases = client.get("/radar/as112/top/ases", cast_to=object, options={"params": dates})["result"]["top_0"]
assert [(row["clientASN"], row["clientASName"], float(row["value"])) for row in ases] == [("64500", "Example", 25)], ases

two = as112.timeseries(date_range=["7d", "7dcontrol"], name=["main", "previous"], agg_interval="1h")
assert len(two.main.values) == len(two.previous.values) and len(two.main.values) in (168, 169), two
assert len(two.meta.date_range) == 2, two.meta

names = {
    "DNSSEC": {"SUPPORTED", "NOT_SUPPORTED"},
    "EDNS": {"SUPPORTED", "NOT_SUPPORTED"},
    "IP_VERSION": {"IPv4", "IPv6"},
    "PROTOCOL": {"UDP", "TCP", "HTTPS", "TLS"},
    "QUERY_TYPE": None,
    "RESPONSE_CODE": None,
}
for dimension, expected in names.items():
    summary = as112.summary_v2(dimension)
    assert summary.meta.normalization == "PERCENTAGE", summary
    assert expected is None or set(summary.summary_0) == expected, summary
    for interval in ("15m", "1h", "1d", "1w"):
        groups = as112.timeseries_groups_v2(dimension, date_range=["7d"], agg_interval=interval)
        columns = groups.serie_0.model_extra
        assert expected is None or set(columns) == expected, groups
        assert all(len(column) == len(groups.serie_0.timestamps) for column in columns.values()), groups
as112.summary_v2("QUERY_TYPE", limit_per_group=2)

# The older paths, each with a model of its own.
for old in ("dnssec", "edns", "ip_version", "protocol", "query_type", "response_codes"):
    for resource, serie in ((as112.summary, "summary_0"), (as112.timeseries_groups, "serie_0")):
        assert getattr(getattr(resource, old)(date_range=["1d"]), serie) is not None

try:
    as112.timeseries(date_range=["yesterday"])
except BadRequestError as error:
    assert error.errors[0].message.startswith("Unknown dateRange;"), error.errors
else:
    raise AssertionError("a bad range is refused")
print("radar: all read")
