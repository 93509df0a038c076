"""How long a stored response is fresh, and how old it is (RFC 9111, 4.2, 5.1, 5.2.2, 5.3)."""

from __future__ import annotations

from support.http_steps import FRESH, Case, cases, confirmed, hit, later, miss, play

CC = "Cache-Control: "
BIG = 2**31


def lasts(name: str, seconds: int, *says: str, **options: object) -> Case:
    """Return a case in which the response is used until it is so many seconds older, and not longer; 0 = never."""
    if not seconds:
        return Case(name, miss(*says), miss(*says), **options)
    steps = [later(seconds - 1), hit()] if seconds > 1 else []
    return Case(name, miss(*says), hit(), *steps, later(1), miss(*says), **options)


def lasts_long(name: str, *says: str) -> Case:
    """Return a case in which the response is used for days."""
    return Case(name, miss(*says), hit(), later(86400 * 30), hit())


@cases(
    lasts("9111-5.2.2.1 max-age", 60, CC + "max-age=60"),
    lasts("9111-5.2.2.1 max-age=0", 0, CC + "max-age=0"),
    lasts("9111-5.2.2.1 max-age=1", 1, CC + "max-age=1"),
    lasts("9111-4.2.1 s-maxage before max-age", 60, CC + "s-maxage=60, max-age=1"),
    lasts("9111-4.2.1 a shorter s-maxage too", 2, CC + "max-age=60, s-maxage=2"),
    lasts("9111-4.2.1 s-maxage=0", 0, CC + "max-age=60, s-maxage=0"),
    lasts("9111-4.2.1 max-age before expires", 60, CC + "max-age=60", "Expires: @+5"),
    lasts("9111-4.2.1 max-age=0 before expires", 0, CC + "max-age=0", "Expires: @+500"),
    lasts("9111-4.2.1 max-age before a past expires", 60, CC + "max-age=60", "Expires: @-5"),
    lasts("9111-4.2.1 max-age before an invalid expires", 60, CC + "max-age=60", "Expires: 0"),
    lasts("9111-4.2.1 s-maxage before expires", 60, CC + "s-maxage=60", "Expires: @-5"),
    lasts("9111-1.2.2 leading zeros", 60, CC + "max-age=00000000060"),
    lasts_long("9111-1.2.2 two to the 31st less one", CC + f"max-age={BIG - 1}"),
    lasts_long("9111-1.2.2 two to the 31st", CC + f"max-age={BIG}"),
    lasts_long("9111-1.2.2 beyond 64 bits", CC + "max-age=99999999999999999999999"),
    lasts_long("9111-1.2.2 of thousands of digits", CC + "max-age=" + "9" * 5000),
    lasts("9111-5.2 a name in other capitals", 60, CC + "MaX-aGe=60"),
    lasts("9111-5.2 a quoted argument", 60, CC + 'max-age="60"'),
    lasts("9111-5.2 a quoted argument with an escape", 60, CC + 'max-age="6\\0"'),
    lasts("9111-5.2 a quote that does not end", 0, CC + 'max-age="60'),
    lasts("9111-5.2 single quotes", 0, CC + "max-age='60'"),
    lasts("9111-4.2.1 letters", 0, CC + "max-age=abc"),
    lasts("9111-4.2.1 digits and letters", 0, CC + "max-age=60a"),
    lasts("9111-4.2.1 a unit", 0, CC + "max-age=1m"),
    lasts("9111-4.2.1 negative", 0, CC + "max-age=-60"),
    lasts("9111-4.2.1 a plus", 0, CC + "max-age=+60"),
    lasts("9111-4.2.1 decimal", 0, CC + "max-age=60.0"),
    lasts("9111-4.2.1 nothing", 0, CC + "max-age="),
    lasts("9111-4.2.1 no argument", 0, CC + "max-age"),
    lasts("9111-4.2.1 space before the sign", 0, CC + "max-age =60"),
    lasts("9111-4.2.1 space behind the sign", 0, CC + "max-age= 60"),
    lasts("9111-4.2.1 other digits", 0, CC + "max-age=\xb2\xb9"),
    lasts("9111-4.2.1 invalid, though expires is not", 0, CC + "max-age=x", "Expires: @+60"),
    lasts("9111-4.2.1 repeated, the least counts", 2, CC + "max-age=60, max-age=2"),
    lasts("9111-4.2.1 repeated in another line", 2, CC + "max-age=60", CC + "max-age=2"),
    lasts("9111-4.2.1 repeated the other way round", 2, CC + "max-age=2, max-age=60"),
    lasts("9111-4.2.1 one of two invalid", 0, CC + "max-age=60, max-age=x"),
    lasts("9111-5.2.3 unknown directives", 60, CC + 'foo, max-age=60, bar=1, baz="q"'),
    lasts("9110-5.6.1 empty members", 60, CC + ",, ,max-age=60,,"),
    lasts("9110-5.6.1 tabs", 60, CC + "foo\t,\tmax-age=60"),
    lasts("9110-5.6.1 no space", 60, CC + "foo,max-age=60"),
    lasts("9110-5.6.4 a name in a quoted string", 60, CC + 'max-age=60, ext="x, max-age=1, no-store"'),
    lasts("9110-5.6.4 the same in front", 2, CC + 'ext="max-age=60", max-age=2'),
    lasts("9110-5.6.4 an escaped quote", 60, CC + 'ext="x\\", no-store", max-age=60'),
    lasts("9110-5.6.4 what nothing closes hides nothing", 0, CC + 'max-age=60, ext="x, no-store'),
    lasts("9111-5.2 a name that only begins alike", 0, CC + "max-ages=60"),
    lasts("9111-5.2.2.4 no-cache is never fresh", 0, CC + "max-age=60, no-cache"),
    lasts("9111-5.2.2.8 must-revalidate while fresh", 60, CC + "max-age=60, must-revalidate"),
    lasts("9111-5.2.2.6 no-transform", 60, CC + "max-age=60, no-transform"),
)
def test_cache_control(case: Case, front: str, namespace: str) -> None:
    """A lifetime is read as the RFC says; what is malformed or in conflict makes a response stale, not fresh."""
    play(case, front, namespace)


SOON = "Mon, 21 Sep 2026 14:14:20 GMT"  # 60 seconds from the begin of each world
DATES = {
    "imf-fixdate": (SOON, 60),
    "rfc850": ("Monday, 21-Sep-26 14:14:20 GMT", 60),
    "asctime": ("Mon Sep 21 14:14:20 2026", 60),
    "other capitals": ("mOn, 21 sEP 2026 14:14:20 gMT", 60),
    "zero": ("0", 0),
    "minus one": ("-1", 0),
    "nothing": ("", 0),
    "UTC": (SOON.replace("GMT", "UTC"), 0),
    "EST": (SOON.replace("GMT", "EST"), 0),
    "an offset": (SOON.replace("GMT", "+0000"), 0),
    "no zone": (SOON.replace(" GMT", ""), 0),
    "no comma": (SOON.replace(",", ""), 0),
    "two spaces": (SOON.replace(" 2026", "  2026"), 0),
    "periods": (SOON.replace(":", "."), 0),
    "dashes": ("Mon, 21-Sep-2026 14:14:20 GMT", 0),
    "a year of two digits": (SOON.replace("2026", "26"), 0),
    "an hour of one digit": ("Mon, 21 Sep 2026 4:14:20 GMT", 0),
    "no seconds": ("Mon, 21 Sep 2026 14:14 GMT", 0),
    "a day that is none": ("Mon, 41 Sep 2026 14:14:20 GMT", 0),
    "a month in full": ("Mon, 21 September 2026 14:14:20 GMT", 0),
    "no day of the week": ("21 Sep 2026 14:14:20 GMT", 0),
    "iso 8601": ("2026-09-21T14:14:20Z", 0),
    "unix seconds": ("1790000060", 0),
    "rfc850 in the last century": ("Monday, 21-Sep-77 14:14:20 GMT", 0),
}


@cases(
    *[
        lasts(f"9110-5.6.7 expires {name}", seconds, f"Expires: {value}", "Date: @+0")
        for name, (value, seconds) in DATES.items()
    ],
    lasts_long("9111-5.3 far ahead", "Expires: Fri, 31 Dec 9999 23:59:59 GMT"),
    lasts("9111-5.3 without a date it counts from the receipt", 60, "Expires: @+60"),
    lasts("9111-5.3 as old as the date", 0, "Expires: @+0", "Date: @+0"),
    lasts("9111-5.3 in the past", 0, "Expires: @-60"),
    lasts("9111-4.2.1 two lines", 0, "Expires: @+60", "Expires: @+60"),
    lasts("9111-4.2.1 less the date, which is old", 50, "Expires: @+50", "Date: @-10"),
    lasts("9111-4.2.1 less the date, which is ahead", 50, "Expires: @+60", "Date: @+10"),
    lasts("9111-4.2.1 less the date, not the time of receipt", 0, "Expires: @+60", "Date: @+70"),
    lasts("9111-4.2.1 an invalid date is that of the receipt", 60, "Expires: @+60", "Date: yesterday"),
    lasts("9111-4.2.3 expires and an age", 40, "Expires: @+60", "Date: @+0", "Age: 20"),
)
def test_expires(case: Case, front: str, namespace: str) -> None:
    """Expires counts from Date, and only if it is a date in one of the three forms."""
    play(case, front, namespace)


@cases(
    lasts("9111-4.2.3 an age", 40, CC + "max-age=60", "Age: 20"),
    lasts("9111-4.2.3 an age beyond the lifetime", 0, CC + "max-age=60", "Age: 60"),
    lasts("9111-4.2.3 an old date", 40, CC + "max-age=60", "Date: @-20"),
    lasts("9111-4.2.3 a date older than the lifetime", 0, CC + "max-age=60", "Date: @-60"),
    lasts("9111-4.2.3 a date ahead", 60, CC + "max-age=60", "Date: @+100"),
    lasts("9111-4.2.3 a date ahead does not hide an age", 40, CC + "max-age=60", "Date: @+100", "Age: 20"),
    lasts("9111-4.2.3 the older of age and date", 30, CC + "max-age=60", "Date: @-30", "Age: 20"),
    lasts("9111-4.2.3 the older of date and age", 30, CC + "max-age=60", "Date: @-20", "Age: 30"),
    lasts("9111-4.2.3 an invalid date", 60, CC + "max-age=60", "Date: x"),
    lasts("9111-5.1 age of letters", 60, CC + "max-age=60", "Age: abc"),
    lasts("9111-5.1 age negative", 60, CC + "max-age=60", "Age: -20"),
    lasts("9111-5.1 age decimal", 60, CC + "max-age=60", "Age: 20.0"),
    lasts("9111-5.1 age quoted", 60, CC + "max-age=60", 'Age: "20"'),
    lasts("9111-5.1 age with letters behind", 60, CC + "max-age=60", "Age: 20s"),
    lasts("9111-5.1 age with letters in front", 60, CC + "max-age=60", "Age: x20"),
    lasts("9111-5.1 age with a parameter", 60, CC + "max-age=60", "Age: 20;x=1"),
    lasts("9111-5.1 the first member", 40, CC + "max-age=60", "Age: 20, 50"),
    lasts("9111-5.1 the first line", 40, CC + "max-age=60", "Age: 20", "Age: 50"),
    lasts("9111-5.1 age of thousands of digits", 0, CC + "max-age=60", "Age: " + "9" * 5000),
    lasts("9111-5.1 age of 2 to the 31st", 0, CC + "max-age=60", f"Age: {BIG}"),
    Case("9111-4.2.3 an age and how long the answer took", miss(FRESH, "Age: 10", takes=5), hit(has="Age: 15")),
    Case("9111-4.2.3 a date and how long the answer took", miss(FRESH, "Date: @+0", takes=5), hit(has="Age: 5")),
    Case("9111-4.2.3 how long the answer took", miss(FRESH, takes=5), hit(has="Age: 0")),
    Case(
        "9111-5.1 the age of a response from the store",
        miss(FRESH, lacks="Age"),
        hit(has="Age: 0"),
        later(0.9),
        hit(has="Age: 0"),
        later(29.1),
        hit(has="Age: 30"),
    ),
    Case("9111-5.1 instead of the app's", miss(FRESH, "Age: 10", has="Age: 10"), later(5), hit(has="Age: 15")),
    Case("9111-5.1 instead of two of the app's", miss(FRESH, "Age: 10", "Age: 11"), later(5), hit(has="Age: 15")),
    Case("9111-5.1 instead of a malformed one", miss(FRESH, "Age: x", has="Age: x"), later(5), hit(has="Age: 5")),
    Case("9111-4.2.3 counted from the date", miss(FRESH, "Date: @-10"), later(5), hit(has="Age: 15")),
    Case("9111-4.2.3 never below 0", miss(FRESH, "Date: @+10"), later(-100), hit(has="Age: 0")),
    Case(
        "9111-5.1 date, expires and last-modified stay",
        miss(FRESH, "Date: @-10", "Expires: @+99", "Last-Modified: @-999"),
        later(5),
        hit(has="Date: @-10\nExpires: @+99\nLast-Modified: @-999"),
    ),
    Case("9110-6.6.1 no date is made up", miss(FRESH, lacks="Date"), hit(lacks="Date")),
)
def test_age(case: Case, front: str, namespace: str) -> None:
    """A response is as old as Date or Age say, whichever says more; Age is told with what comes from the store."""
    play(case, front, namespace)


@cases(
    Case(
        "9111-4.2.2 a tenth of its age",
        miss("Last-Modified: @-1000", "Date: @+0"),
        later(99),
        hit(),
        later(1),
        confirmed(),
    ),
    Case("9111-4.2.2 as of its date", miss("Last-Modified: @-1000", "Date: @-500"), confirmed("Date: @+0")),
    Case("9111-4.2.2 without a date", miss("Last-Modified: @-1000"), later(99), hit()),
    Case("9111-4.2.2 at most a day", miss("Last-Modified: @-99999999"), later(86399), hit(), later(1), confirmed()),
    Case("9111-4.2.2 not if changed in the future", miss("Last-Modified: @+1000"), confirmed()),
    Case("9111-4.2.2 not of an invalid date", miss("Last-Modified: 1999"), miss()),
    Case(
        "9111-4.2.2 not with max-age",
        miss("Last-Modified: @-1000", CC + "max-age=1"),
        later(1),
        confirmed(CC + "max-age=1"),
    ),
    Case("9111-4.2.2 not with an invalid expires", miss("Last-Modified: @-1000", "Expires: 0"), confirmed()),
    Case("9111-4.2.2 not without last-modified", miss('ETag: "a"'), confirmed()),
    Case("9111-4.2.2 not with no-cache", miss("Last-Modified: @-1000", CC + "no-cache"), confirmed()),
    Case(
        "9111-4.2.2 an attachment is like others",
        miss("Last-Modified: @-1000", "Content-Disposition: attachment"),
        hit(),
    ),
)
def test_heuristic(case: Case, front: str, namespace: str) -> None:
    """A response that says nothing is fresh for a tenth of the time for which it had not changed."""
    play(case, front, namespace)
