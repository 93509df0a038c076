"""HTTP-dates: three forms are read to the letter, one is written, and nothing else is taken for a date."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.http.dates import format_date, parse_date

unhurried = settings(deadline=None)  # a busy machine is no failure
EXAMPLE = 784_111_777
NOW = datetime(2026, 7, 15, 12, tzinfo=UTC).timestamp()
FIRST, LAST = -62_135_596_800, 253_402_300_799
MOMENTS = st.integers(FIRST, LAST)
FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994",
        "sun, 06 nov 1994 08:49:37 gmt",
        "SUNDAY, 06-NOV-94 08:49:37 GMT",
        "sUN nOV  6 08:49:37 1994",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Friday, 06-Nov-94 08:49:37 GMT",
    ],
)
def test_9110_5_6_7_every_form_of_a_date_is_read(text: str) -> None:
    """All three, in any case; a day of the week that is not that of the date does not matter."""
    assert parse_date(text, NOW) == EXAMPLE


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Mon, 01 Jan 0001 00:00:00 GMT", FIRST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LAST),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Fri, 31 Dec 9999 23:59:60 GMT", LAST + 1),
        ("Thu, 01 Feb 2029 00:00:00 GMT", 1_864_598_400),
    ],
)
def test_9110_5_6_7_times_at_the_edges_are_read(text: str, moment: int) -> None:
    """The first and the last year, the leap day and the leap second are times like others."""
    assert parse_date(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "now",
        "784111777",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 EST",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:9:37 GMT",
        "Sun, 06 Nov 1994 08:49:7 GMT",
        "Sun, 06 Nov 1994 08:49:037 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov  1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 November 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 11 1994 08:49:37 GMT",
        "\u017fun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 0\u0666 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Wed, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 6-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sunday Nov  6 08:49:37 1994",
        "Sun Nov  0 08:49:37 1994",
        "Sun, Nov  6 08:49:37 1994",
    ],
)
def test_9110_5_6_7_what_is_nearly_a_date_is_none(text: str) -> None:
    """Every departure from the three forms, and every day or hour that does not exist."""
    assert parse_date(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("Wednesday, 15-Jul-76 12:00:00 GMT", 2076),
        ("Wednesday, 15-Jul-76 12:00:01 GMT", 1976),
        ("Thursday, 16-Jul-76 00:00:00 GMT", 1976),
        ("Tuesday, 14-Jul-76 23:59:59 GMT", 2076),
        ("Sunday, 01-Jan-77 00:00:00 GMT", 1977),
        ("Friday, 31-Dec-75 23:59:59 GMT", 2075),
        ("Saturday, 01-Jan-00 00:00:00 GMT", 2000),
        ("Friday, 31-Dec-99 00:00:00 GMT", 1999),
        ("Wednesday, 15-Jul-26 12:00:00 GMT", 2026),
        ("Friday, 15-Jul-27 12:00:00 GMT", 2027),
    ],
)
def test_9110_5_6_7_two_digits_are_a_year_at_most_fifty_ahead(text: str, year: int) -> None:
    """To the second: what lies further ahead is in the past."""
    moment = parse_date(text, NOW)
    assert moment is not None
    assert datetime.fromtimestamp(moment, UTC).year == year


def test_9110_5_6_7_two_digits_are_read_by_the_clock() -> None:
    """The century follows the time at which the date is read, also when it turns."""
    late = datetime(2080, 1, 1, tzinfo=UTC).timestamp()
    expected = datetime(2110, 1, 1, tzinfo=UTC).timestamp()
    assert parse_date("Wednesday, 01-Jan-10 00:00:00 GMT", late) == expected


@unhurried
@given(MOMENTS)
def test_9110_5_6_7_what_is_written_is_read(moment: int) -> None:
    """Any second of ten thousand years comes back, in the preferred form and in that of asctime."""
    when = datetime.fromtimestamp(moment, UTC)
    written = format_date(moment)
    assert written == when.strftime(FORMS[0]).replace(f" {when.year} ", f" {when.year:04} ")
    assert parse_date(written, NOW) == moment
    day, date, month, year, time, _ = written.replace(",", "").split()
    assert parse_date(f"{day} {month} {int(date):2} {time} {year}", NOW) == moment


@unhurried
@given(st.integers(int(NOW) - 49 * 365 * 86400, int(NOW) + 49 * 365 * 86400))
def test_9110_5_6_7_dates_of_half_a_century_are_read_in_the_old_form(moment: int) -> None:
    """Two digits are enough for everything near."""
    assert parse_date(datetime.fromtimestamp(moment, UTC).strftime(FORMS[1]), NOW) == moment


@unhurried
@given(
    st.text(max_size=40)
    | MOMENTS.map(format_date).flatmap(lambda text: st.text(max_size=3).map(lambda odd: text[:9] + odd + text[10:]))
    | st.from_regex(r"\A[A-Z][a-z]{2,8},? [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\Z"),
    st.floats(0, 2**36),
)
def test_any_text_is_a_date_or_none(text: str, now: float) -> None:
    """Nothing raises, and what is read is in the range of dates."""
    moment = parse_date(text, now)
    assert moment is None or FIRST <= moment <= LAST + 1


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (EXAMPLE, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (EXAMPLE + 0.999, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (-0.001, "Wed, 31 Dec 1969 23:59:59 GMT"),
        (1e300, "Fri, 31 Dec 9999 23:59:59 GMT"),
        (-1e300, "Mon, 01 Jan 0001 00:00:00 GMT"),
        (float("inf"), "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_9110_5_6_7_a_time_is_written_as_its_second(seconds: float, written: str) -> None:
    """Fractions are cut, never rounded into the future; what has no date is the nearest that has one."""
    assert format_date(seconds) == written
