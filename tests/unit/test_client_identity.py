"""Who is calling: what a proxy of ours wrote is believed, what a client sent never is, and nobody is not somebody."""

from __future__ import annotations

import inspect
import ipaddress
import time
import timeit
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette import datastructures as starlette
from werkzeug import datastructures as werkzeug

from holdfast.errors import ConfigurationError
from holdfast.web import Proxies, client_identity
from support.pages import rows_of

unhurried = settings(deadline=None)  # a busy machine is no failure
XFF, FORWARDED = "X-Forwarded-For", "Forwarded"
PROXY = ("10.0.0.1", 443)
TRUSTED = ["10.0.0.0/8", "fd00::/8"]

# What a client may send: every sign that means something in one of the fields, and whole addresses.
SENT = st.lists(
    st.sampled_from(["for=", "10.0.0.9", "192.0.2.66", '"[2001:db8::66]:1"', "unknown", "_hidden", ", for=10.0.0.7"])
    | st.text(st.sampled_from('",;=\\ \t:[]%.fo1'), max_size=6)
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=6),
    max_size=8,
).map("".join)
CLIENTS = st.sampled_from(["203.0.113.9", "2001:db8:1:2:3::7", "198.51.100.255"])
INNER = st.lists(st.sampled_from(["10.0.0.2", "10.9.9.9", "fd00::5"]), max_size=3)


def known(address: str) -> str:
    return "2001:db8:1:2::/64" if ":" in address else address


def in_xff(address: str, port: bool) -> str:
    return address if not port else f"[{address}]:8080" if ":" in address else f"{address}:8080"


def in_forwarded(address: str, port: bool) -> str:
    if ":" in address:
        return f'proto=https;For="[{address}]{":8080" if port else ""}"'
    return f'for="{address}:_p";host="a, for=192.0.2.66;\\"b"' if port else f"for={address};by=_us"


def pairs(name: str, sent: str | None, written: Iterable[str], *, lines: bool) -> list[tuple[str, str]]:
    """Return a field as it arrives: what the client sent, then what each proxy wrote, on one line or on its own."""
    parts = [*([] if sent is None else [sent]), *written]
    return [(name, part) for part in parts] if lines else [(name, ", ".join(parts))]


@unhurried
@given(SENT, CLIENTS, INNER, st.booleans(), st.booleans(), st.sampled_from([XFF, FORWARDED]))
@example('for="', "2001:db8:1:2:3::7", [], False, False, FORWARDED)
@example('for="\\', "203.0.113.9", ["fd00::5"], True, False, FORWARDED)
@example('for="10.0.0.9', "2001:db8:1:2:3::7", ["10.0.0.2"], False, True, FORWARDED)
def test_nobody_can_choose_to_be_somebody_else(
    sent: str, client: str, inner: list[str], port: bool, lines: bool, name: str
) -> None:
    """Whatever a client sends, it is known by the address from which it reached the first of our proxies."""
    write = in_xff if name == XFF else in_forwarded
    fields = pairs(name, sent, [write(each, port) for each in (client, *inner)], lines=lines)
    assert client_identity(fields, PROXY, trusted=TRUSTED) == known(client)
    assert client_identity(fields, PROXY, trusted=TRUSTED, header=name) == known(client)
    assert client_identity(fields, PROXY, hops=1 + len(inner)) == known(client)


@unhurried
@given(SENT, SENT, CLIENTS, st.sampled_from([XFF, FORWARDED]))
def test_the_field_that_our_proxy_does_not_write_is_of_no_use_either(
    sent: str, other: str, client: str, name: str
) -> None:
    """Most proxies pass on the other field as the client sent it: it can make the client unknown, not another one."""
    write = in_xff if name == XFF else in_forwarded
    fields = [(FORWARDED if name == XFF else XFF, other), *pairs(name, sent, [write(client, False)], lines=False)]
    for options in ({"trusted": TRUSTED}, {"hops": 1}):
        assert client_identity(fields, PROXY, **options) in {known(client), None}
        assert client_identity(fields, PROXY, header=name.lower(), **options) == known(client)


@unhurried
@given(SENT, SENT, CLIENTS)
def test_a_client_that_comes_past_the_proxies_is_itself(xff: str, forwarded: str, client: str) -> None:
    """A peer that is no proxy of ours is believed nothing, and neither is any peer where there are no proxies."""
    fields = [(XFF, xff), (FORWARDED, forwarded)]
    assert client_identity(fields, (client, 1), trusted=TRUSTED) == known(client)
    assert client_identity(fields, (client, 1)) == client_identity(fields, client, hops=0) == known(client)


@unhurried
@given(
    st.lists(st.tuples(st.sampled_from([XFF, FORWARDED, "Via"]), SENT | st.text(max_size=20)), max_size=4), st.text()
)
def test_nothing_that_is_sent_makes_it_fail(fields: list[tuple[str, str]], peer: str) -> None:
    """Every answer is an address, a network, or None; a proxy is never one of them."""
    for found in (
        client_identity(fields, PROXY, trusted=TRUSTED),
        client_identity(fields, peer, trusted=[*TRUSTED, "unix"]),
        client_identity(fields, peer, hops=2),
    ):
        if found is not None:
            assert ipaddress.ip_network(found)
            assert found.endswith("/64") == (":" in found)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        (" 192.0.2.7\t", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("[2001:db8::1]:_port", "2001:db8::/64"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("[fe80::1%25eth0]:80", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:c000:207]:80", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("[64:ff9b::c000:207]:80", "192.0.2.7"),
        ("192.0.2.1, 64:ff9b::a00:2", "192.0.2.1"),
        ("64:ff9b:0:0:0:1::", "64:ff9b::/64"),
        ("64:ff9b:1::c000:207", "64:ff9b:1::/64"),
        ("::c000:207", "::/64"),
        ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("192.0.2.1,10.0.0.2,::ffff:10.0.0.3,fd00::9%en0", "192.0.2.1"),
        (",, 192.0.2.7, ,10.0.0.2,", "192.0.2.7"),
        ("192.0.2.66, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.66, 192.0.2.66, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("", None),
        (" , ,", None),
        ("10.0.0.2", None),
        ("10.0.0.2, 10.0.0.3", None),
        ("unknown", None),
        ("192.0.2.66, unknown", None),
        ("192.0.2.66, _hidden", None),
        ("192.0.2.66, unix:", None),
        ("192.0.2.66, localhost, 10.0.0.2", None),
        ("192.0.2.66, 192.0.2.7/32", None),
        ("192.0.2.66, 192.0.2", None),
        ("192.0.2.66, 192.0.2.07", None),
        ("192.0.2.66, 192.0.2.7:", None),
        ("192.0.2.66, 192.0.2.7:123456", None),
        ("192.0.2.66, \u066192.0.2.7", None),
        ("192.0.2.66, [192.0.2.7]", None),
        ("192.0.2.66, [2001:db8::1", None),
        ("192.0.2.66, 2001:db8::1]", None),
        ("192.0.2.66, 2001:db8:::1", None),
        ('192.0.2.66, "192.0.2.7"', None),
        ("192.0.2.66, 0.0.0.0", None),
        ("192.0.2.66, ::", None),
        ("192.0.2.66, ::ffff:0.0.0.0", None),
        ("192.0.2.66, 64:ff9b::", None),
        ("192.0.2.66, fe80::1%" + "x" * 200, None),
    ],
)
def test_x_forwarded_for(written: str, expected: str | None) -> None:
    """The last that is no proxy counts, in each of its forms; nothing left of what cannot be read does."""
    assert client_identity({XFF: written}, PROXY, trusted=TRUSTED) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=192.0.2.7;proto=http;by=203.0.113.43", "192.0.2.7"),
        ("proto=http;by=203.0.113.43;FOR=192.0.2.7", "192.0.2.7"),
        ('for="192.0.2.7:47011"', "192.0.2.7"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::/64"),
        ('for="[2001:db8:cafe::17]:_p.1"', "2001:db8:cafe::/64"),
        ('for="\\1\\92.0.2.7"', "192.0.2.7"),
        ("for=192.0.2.7:80", "192.0.2.7"),
        ("for=[2001:db8::1]", "2001:db8::/64"),
        ('for="2001:db8::1"', "2001:db8::/64"),
        ("for=192.0.2.66, for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
        (" for=192.0.2.7 ; proto=https ,, for=10.0.0.2;", "192.0.2.7"),
        (";for=192.0.2.7;;", "192.0.2.7"),
        ('for=192.0.2.7;host="x, for=192.0.2.66"', "192.0.2.7"),
        ('for=192.0.2.7;host="x\\", for=192.0.2.66;y=\\""', "192.0.2.7"),
        ('for=192.0.2.7;host="\\\\", for=10.0.0.2', "192.0.2.7"),
        ('for="x, for="[2001:db8::1]"', "2001:db8::/64"),
        ("for=192.0.2.66, for=unknown", None),
        ("for=192.0.2.66, for=_gazonk", None),
        ("for=192.0.2.66, by=10.0.0.2;proto=https", None),
        ("for=192.0.2.66, for=192.0.2.7;for=192.0.2.8", None),
        ("for=192.0.2.66, for=", None),
        ('for=192.0.2.66, for=""', None),
        ("for=192.0.2.66, for", None),
        ("for=192.0.2.66, 192.0.2.7", None),
        ("for=192.0.2.66, for = 192.0.2.7", None),
        ('for=192.0.2.66, for="192.0.2.7', None),
        ('for=192.0.2.66, for=192.0.2.7"', None),
        ('for=192.0.2.66, for="192.0.2.7\\"', None),
        ('for=192.0.2.66, for="192.0.2.7"x', None),
        ("for=192.0.2.66, for=192.0.2.7;x", None),
        ('for=192.0.2.66, for=192.0.2.7;x="\\\\"y"', None),
        ("for=192.0.2.66, f\xfcr=1;for=192.0.2.7", None),
        ("for=10.0.0.2", None),
        ("", None),
    ],
)
def test_forwarded(written: str, expected: str | None) -> None:
    """An element counts if all of it can be read and it says once whom it is for."""
    assert client_identity({FORWARDED: written}, PROXY, trusted=TRUSTED) == expected


@pytest.mark.parametrize(
    ("fields", "header", "expected"),
    [
        ({XFF: "192.0.2.7", FORWARDED: 'for="192.0.2.7:80"'}, None, "192.0.2.7"),
        ({XFF: "2001:db8::1", FORWARDED: 'for="[2001:db8::2]"'}, None, "2001:db8::/64"),
        ({XFF: "192.0.2.7", FORWARDED: "for=192.0.2.8"}, None, None),
        ({XFF: "192.0.2.7", FORWARDED: "for=unknown"}, None, None),
        ({XFF: "10.0.0.2", FORWARDED: "for=192.0.2.8"}, None, None),
        ({XFF: "192.0.2.7", FORWARDED: ""}, None, "192.0.2.7"),
        ({XFF: " ,", FORWARDED: "for=192.0.2.8"}, None, "192.0.2.8"),
        ({XFF: "192.0.2.7", FORWARDED: "for=192.0.2.8"}, "Forwarded", "192.0.2.8"),
        ({XFF: "192.0.2.7", FORWARDED: "for=192.0.2.8"}, "x-forwarded-for", "192.0.2.7"),
        ({XFF: "192.0.2.7", "CF-Connecting-IP": "192.0.2.8"}, "cf-connecting-ip", "192.0.2.8"),
        ({XFF: "192.0.2.7"}, "forwarded", None),
    ],
)
def test_which_field_counts(fields: dict[str, str], header: str | None, expected: str | None) -> None:
    """The one that is named; or whichever is there; or both, if they mean the same client."""
    assert client_identity(fields, PROXY, trusted=TRUSTED, header=header) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"x-forwarded-for": "192.0.2.66, 192.0.2.7"},
        {"X-FORWARDED-FOR": "192.0.2.66, 192.0.2.7"},
        [("x-forwarded-for", "192.0.2.66"), ("host", "x"), ("X-Forwarded-For", "192.0.2.7")],
        [(b"x-forwarded-for", b"192.0.2.66"), (b"host", b"\xff"), (b"x-forwarded-for", b"192.0.2.7")],
        [[b"X-Forwarded-For", b"192.0.2.66, 192.0.2.7"]],
        iter([("x-forwarded-for", "192.0.2.66, 192.0.2.7")]),
    ],
    ids=["lower", "upper", "lines", "bytes", "lists", "iterator"],
)
def test_the_fields_may_come_in_every_shape(fields: Any) -> None:
    """A mapping or pairs, text or bytes, any case; several of one name count in their order."""
    assert client_identity(fields, PROXY, trusted=TRUSTED) == "192.0.2.7"


def test_the_headers_of_frameworks_can_be_given() -> None:
    """Starlette's and Werkzeug's keep repeated fields."""
    lines = [("X-Forwarded-For", "192.0.2.66"), ("X-Forwarded-For", "192.0.2.7")]
    raw = [(name.lower().encode(), value.encode()) for name, value in lines]
    for fields in (starlette.Headers(raw=raw), werkzeug.Headers(lines)):
        assert client_identity(fields, PROXY, trusted=TRUSTED) == "192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (("192.0.2.7", 4711), "192.0.2.7"),
        (["192.0.2.7", 4711], "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::1]:4711", "2001:db8::/64"),
        (("fe80::1%eth0", 80, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.7", 80), "192.0.2.7"),
        (ipaddress.ip_address("192.0.2.7"), "192.0.2.7"),
        (ipaddress.ip_address("2001:db8::1"), "2001:db8::/64"),
        (ipaddress.ip_address("64:ff9b::c000:207"), "192.0.2.7"),
        ((ipaddress.ip_address("192.0.2.7"), 80), "192.0.2.7"),
        (("testclient", 50000), None),
        ("localhost", None),
        (None, None),
        ("", None),
        (("", 0), None),
        ((), None),
        ((None, None), None),
        ("/run/app.sock", None),
        ("unix:/run/app.sock", None),
    ],
    ids=repr,
)
def test_a_peer_in_each_of_its_forms(peer: Any, expected: str | None) -> None:
    """What servers give is understood, and what is no address identifies nobody, even where fields are there."""
    assert client_identity({XFF: "192.0.2.66"}, peer) == expected
    assert client_identity({XFF: "192.0.2.66"}, peer, trusted=TRUSTED) == expected


@pytest.mark.parametrize("peer", [None, "", ("", 0), "/run/app.sock", "unix:", "\0abstract"], ids=repr)
def test_a_socket_in_the_file_system_can_be_trusted(peer: Any) -> None:
    """The proxy behind it is believed where the user says so, by name or by number, and only then."""
    fields = {XFF: "192.0.2.66, 192.0.2.7"}
    assert client_identity(fields, peer, trusted="unix") == "192.0.2.7"
    assert client_identity({XFF: "192.0.2.7, unix:, 10.0.0.2"}, peer, trusted=["unix", *TRUSTED]) == "192.0.2.7"
    assert client_identity(fields, peer, hops=1) == "192.0.2.7"
    assert client_identity({}, peer, trusted="unix") is None
    assert client_identity(fields, peer, trusted=TRUSTED) is None
    assert client_identity(fields, ("192.0.2.8", 1), trusted="unix") == "192.0.2.8"


@pytest.mark.parametrize(
    ("written", "hops", "expected"),
    [
        ("192.0.2.66, 192.0.2.7", 0, "10.0.0.1"),
        ("192.0.2.66, 192.0.2.7", 1, "192.0.2.7"),
        ("192.0.2.66, 192.0.2.7, 10.0.0.2", 2, "192.0.2.7"),
        ("192.0.2.7, unknown", 2, "192.0.2.7"),
        ("192.0.2.66,, 192.0.2.7, , 10.0.0.2,", 2, "192.0.2.7"),
        ("192.0.2.66, unknown, 10.0.0.2", 2, None),
        ("192.0.2.7", 2, None),
        ("", 1, None),
    ],
)
def test_proxies_can_be_counted(written: str, hops: int, expected: str | None) -> None:
    """Who stands as many elements from the right is the client; a request that came through fewer has none."""
    assert client_identity({XFF: written}, PROXY, hops=hops) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(128, "2001:db8:1:2:3:4:5:6"), (64, "2001:db8:1:2::/64"), (56, "2001:db8:1::/56"), (32, "2001:db8::/32")],
)
def test_ipv6_clients_are_known_by_their_network(prefix: int, expected: str) -> None:
    """Changing to another address of the same network changes nothing; IPv4 is not touched."""
    assert client_identity({}, "2001:db8:1:2:3:4:5:6", ipv6_prefix=prefix) == expected
    assert client_identity({}, "2001:db8:1:2:3:4:5:6%eth0", ipv6_prefix=prefix) == expected
    assert client_identity({}, "192.0.2.7", ipv6_prefix=prefix) == "192.0.2.7"


@pytest.mark.parametrize(
    "trusted",
    [
        "10.0.0.0/8",
        "198.51.100.0/24, 10.0.0.1",
        ["10.0.0.1"],
        ("::ffff:10.0.0.0/104",),
        ("64:ff9b::10.0.0.0/104",),
        [ipaddress.ip_network("10.0.0.0/8")],
        {ipaddress.ip_address("10.0.0.1")},
        iter(["10.0.0.0/8"]),
        Proxies.of("10.0.0.0/8"),
    ],
    ids=["text", "texts", "address", "mapped", "nat64", "network", "object", "iterator", "proxies"],
)
def test_proxies_can_be_given_in_every_shape(trusted: Any) -> None:
    """Text, a collection, objects of ipaddress, or what was made of them before."""
    assert client_identity({XFF: "192.0.2.7"}, PROXY, trusted=trusted) == "192.0.2.7"


def test_a_network_of_ipv6_holds_no_ipv4() -> None:
    """`::10.0.0.0/104` has the numbers of 10.0.0.0/8 and not its addresses."""
    assert client_identity({XFF: "192.0.2.7"}, PROXY, trusted="::a00:0/104") == "10.0.0.1"


def test_proxies_are_worked_out_once() -> None:
    """The same text gives the same object, so that a request does not pay for it."""
    assert Proxies.of(["10.0.0.0/8"]) is Proxies.of(("10.0.0.0/8",))
    assert not Proxies.of("")
    assert Proxies.of("unix")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"trusted": TRUSTED, "hops": 1}, "not both"),
        ({"trusted": "unix", "hops": 0}, "not both"),
        ({"hops": -1}, "hops=-1"),
        ({"hops": True}, "hops=True"),
        ({"hops": 1.0}, "hops=1.0"),
        ({"ipv6_prefix": 129}, "ipv6_prefix"),
        ({"ipv6_prefix": 31}, "ipv6_prefix"),
        ({"ipv6_prefix": 64.0}, "ipv6_prefix"),
        ({"trusted": ["10.0.0.1/8"]}, "host bits"),
        ({"trusted": "proxy.local"}, "no network"),
        ({"trusted": "*"}, "no network"),
        ({"trusted": "0.0.0.0/0"}, "everybody"),
        ({"trusted": ["::/0"]}, "everybody"),
        ({"trusted": ["::ffff:0.0.0.0/96"]}, "everybody"),
        ({"trusted": ["64:ff9b::/96"]}, "everybody"),
        ({"header": 5}, "header=5 must be the name of a field"),
        ({"header": ""}, "header='' must be"),
        ({"trusted": [10]}, "no network"),
        ({"trusted": [["10.0.0.0/8"]]}, "no list of networks"),
        ({"trusted": 7}, "no list of networks"),
    ],
    ids=repr,
)
def test_options_that_cannot_work_are_refused(options: Any, complaint: str) -> None:
    """The message says which, and what would."""
    with pytest.raises(ConfigurationError, match=complaint):
        client_identity({XFF: "192.0.2.7"}, PROXY, **options)


@pytest.mark.parametrize("fields", [None, 5, "x", b"x"], ids=repr)
@pytest.mark.parametrize("options", [{}, {"trusted": TRUSTED}], ids=repr)
def test_what_holds_no_fields_is_refused(fields: Any, options: Any) -> None:
    """Also where no field would be read, so that it is noticed before there is a proxy."""
    with pytest.raises(ConfigurationError, match="no header fields: give those of the request"):
        client_identity(fields, PROXY, **options)


@pytest.mark.parametrize("peer", [5, 1.5, {"host": "192.0.2.7"}], ids=repr)
def test_what_is_no_peer_is_refused(peer: Any) -> None:
    """It is not taken for a socket in the file system, which may be trusted."""
    with pytest.raises(ConfigurationError, match="peer="):
        client_identity({}, peer, trusted="unix")


@pytest.mark.parametrize("name", [XFF, FORWARDED])
@pytest.mark.parametrize("sent", ["192.0.2.66,", '"\\', "for=x;", "\\", ",", "\t", '"', "a" * 99 + ","], ids=ascii)
def test_a_huge_field_is_little_work(name: str, sent: str) -> None:
    """A megabyte is not read: the client is found, at a cost that its length does not change."""
    written = "192.0.2.7" if name == XFF else "for=192.0.2.7"
    huge = [(name, sent * (1_000_000 // len(sent)) + ", " + written)]
    assert client_identity(huge, PROXY, trusted=TRUSTED) == "192.0.2.7"
    assert timeit.timeit(lambda: client_identity(huge, PROXY, trusted=TRUSTED), number=3, timer=time.process_time) < 0.5


@pytest.mark.parametrize("name", [XFF, FORWARDED])
def test_where_reading_ends_no_address_is_cut(name: str) -> None:
    """A chain so long that its first address is not read as a whole has no first address, and not a shorter one."""
    start = "" if name == XFF else "for="
    inner = f", {start}10.0.0.2"
    for first, expected in ((f"{start}211.99.2.66", {"211.99.2.66", None}), ("xfor=192.0.2.66;by=_x", {None})):
        chain = first + inner * (4060 // len(inner))
        found = {client_identity({name: chain + " " * more}, PROXY, trusted=TRUSTED) for more in range(60)}
        assert found == expected


def test_the_reference_has_every_option() -> None:
    """Options and defaults in the table are those of the code."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    parameters = inspect.signature(client_identity).parameters.values()
    shown = {name: default for name, default in rows_of(page).items() if name in {each.name for each in parameters}}
    assert shown == {each.name: "" if each.default is each.empty else repr(each.default) for each in parameters}
