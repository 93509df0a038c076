"""Conditional requests: a client's conditions, our own, and updates by a 304 or HEAD (RFC 9110, 13; RFC 9111, 4.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policy.http.conditions import (
    CONDITIONAL,
    Validators,
    agrees_with_head,
    entity_tags,
    fields_of_304,
    has_unsafe_conditions,
    not_modified,
    request_fields,
    selects,
    strong_match,
    update,
    validators_of,
    weak_match,
)
from holdfast.policy.http.fields import HOP_BY_HOP, Fields, Pairs, is_sound, storable

NOW = 1_700_000_000.0
EARLY, DATE, LATE = [f"Sun, 06 Nov 1994 08:49:{second} GMT" for second in ("36", "37", "38")]
RFC850, ASCTIME = "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"
RECEIVED = 784111777.5
"""Half a second after `DATE`."""

SIGNS = st.text(st.sampled_from('aW/"*, \t\\\r\n\x00\xe9bB'), max_size=20)
TAGS = st.sampled_from(['"a"', 'W/"a"', '"b"', '""', "*", DATE, EARLY])
TEXTS = TAGS | SIGNS | st.text(st.characters(max_codepoint=0xFF), max_size=30) | st.text(max_size=8)
NAMES = st.sampled_from(
    ["ETag", "etag", "Last-Modified", "Date", "Content-Length", "X-A", "x-a", "Age", "Connection", "TE"]
)
PAIRS = st.lists(st.tuples(NAMES | TEXTS, TEXTS | st.just("X-A")), max_size=6).map(tuple)


@pytest.mark.parametrize(
    ("etag", "kept"),
    [
        *[(tag, True) for tag in ('"a"', 'W/"a"', '""', '"a,b"', '"a\\"', '"\xe9"', '"!~"')],
        *[
            (tag, False)
            for tag in ("a", '"a', "", 'w/"a"', 'W/ "a"', '"a b"', '"a"b"', '"a", "b"', '"\x7f"', "*", "W/a")
        ],
    ],
)
def test_9110_8_8_3_an_etag_is_an_entity_tag(etag: str, kept: bool) -> None:
    """Quoted, with an upper-case W before weak ones, and a single one: others are no validator."""
    assert validators_of(Fields([("ETag", etag)]), NOW) == (etag if kept else None, None)


def test_9110_8_8_2_a_last_modified_is_a_date() -> None:
    """It is kept as it was written; what is no date is no validator, and neither are two."""
    for date in (DATE, RFC850, ASCTIME):
        assert validators_of(Fields([("last-modified", date)]), NOW) == (None, date)
    for lines in (["yesterday"], [DATE, DATE], ["0"], [""]):
        assert validators_of(Fields([("last-modified", line) for line in lines]), NOW) == (None, None)


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("*", None),
        (" * ", None),
        ("", []),
        ('"a"', ['"a"']),
        ('"a", W/"b" ,"",', ['"a"', 'W/"b"', '""']),
        ('"a,b","c\\","d"', ['"a,b"', '"c\\"', '"d"']),
        ('a, "b"', ['"b"']),
        ('"a" x, "b"', ['"b"']),
        ('w/"a", W/ "b"', []),
        ('*, "a"', ['"a"']),
        ('"a', []),
    ],
)
def test_9110_13_1_2_tags_are_a_list(value: str, tags: list[str] | None) -> None:
    """A tag may hold commas, and has no escapes; members that are no tags are passed over."""
    assert entity_tags(value) == tags


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
        ('"1"', '"2"', False, False),
        ('"a"', '"A"', False, False),
        ('"W/1"', '"1"', False, False),
    ],
)
def test_9110_8_8_3_2_tags_are_compared_in_two_ways(one: str, other: str, strong: bool, weak: bool) -> None:
    """The strong way wants both to be strong, the weak way does not look."""
    assert (strong_match(one, other), weak_match(one, other)) == (strong, weak)
    assert (strong_match(other, one), weak_match(other, one)) == (strong, weak)


@pytest.mark.parametrize(
    ("held", "fields"),
    [
        ([], ()),
        ([(None, None)], ()),
        ([('"a"', None)], (("if-none-match", '"a"'),)),
        ([(None, DATE)], (("if-modified-since", DATE),)),
        ([('W/"a"', DATE)], (("if-none-match", 'W/"a"'), ("if-modified-since", DATE))),
        ([('"a"', DATE), ('"b"', None), ('"a"', DATE), (None, DATE)], (("if-none-match", '"a", "b"'),)),
        ([(None, DATE), (None, DATE)], ()),
    ],
)
def test_9111_4_3_1_what_is_sent_to_validate(held: list[tuple[str | None, str | None]], fields: Pairs) -> None:
    """All tags, each once, as they are stored; a date only where one response is meant."""
    assert request_fields([Validators(*each) for each in held]) == fields
    assert {name for name, _ in fields} <= CONDITIONAL


@pytest.mark.parametrize(
    ("condition", "etag", "answered"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('"b", "a"', '"a"', True),
        ('"b"', '"a"', False),
        ("a", '"a"', False),
        ("", '"a"', False),
        ('"a"', None, False),
        ("a", "a", False),
        ("*", '"a"', True),
        ("*", None, True),
    ],
)
def test_9110_13_1_2_if_none_match(condition: str, etag: str | None, answered: bool) -> None:
    """Weak comparison with any of the list, a star with whatever is stored; If-Modified-Since does not count beside."""
    stored = Fields([("last-modified", DATE), *([("etag", etag)] if etag else [])])
    for more in ([], [("if-modified-since", EARLY)], [("if-modified-since", LATE)]):
        assert not_modified(Fields([("if-none-match", condition), *more]), stored, RECEIVED, NOW) is answered


@pytest.mark.parametrize(
    ("condition", "stored", "answered"),
    [
        (DATE, {"last-modified": DATE}, True),
        (LATE, {"last-modified": DATE}, True),
        (EARLY, {"last-modified": DATE}, False),
        (RFC850, {"last-modified": ASCTIME}, True),
        (DATE, {"last-modified": LATE, "date": EARLY}, False),
        (DATE, {"last-modified": EARLY, "date": LATE}, True),
        (DATE, {"date": DATE}, True),
        (DATE, {"date": LATE}, False),
        (DATE, {"last-modified": "x", "date": LATE}, False),
        (DATE, {}, True),
        (LATE, {"date": "x"}, True),
        (EARLY, {}, False),
        ("x", {"last-modified": DATE}, False),
        ("", {"last-modified": DATE}, False),
        (f"{LATE}, {LATE}", {"last-modified": DATE}, False),
        (LATE.replace("GMT", "UTC"), {"last-modified": DATE}, False),
    ],
)
def test_9110_13_1_3_if_modified_since(condition: str, stored: dict[str, str], answered: bool) -> None:
    """Against Last-Modified, else Date, else the time of receipt; what is no date is ignored (RFC 9111, 4.3.2)."""
    request = Fields([("If-Modified-Since", condition)])
    assert not_modified(request, Fields(stored.items()), RECEIVED, NOW) is answered


def test_9110_13_2_2_without_a_condition_all_is_sent() -> None:
    """A 304 is for those who asked for one."""
    assert not not_modified(Fields([("range", "bytes=0-")]), Fields([("etag", '"a"')]), RECEIVED, NOW)


@pytest.mark.parametrize(
    ("name", "unsafe"),
    [(name, name in {"if-match", "if-unmodified-since"}) for name in sorted(CONDITIONAL - {"range"})],
)
def test_9111_4_3_2_conditions_of_the_app(name: str, unsafe: bool) -> None:
    """If-Match and If-Unmodified-Since are not a cache's to evaluate, even where they are empty."""
    assert has_unsafe_conditions(Fields([(name, "")])) is unsafe


@pytest.mark.parametrize("etag", [(), (("ETag", '"a"'),)])
def test_9110_15_4_5_fields_of_a_304(etag: Pairs) -> None:
    """What guides caches stays, and so do security and cookies; what describes the missing body goes."""
    kept: Pairs = (
        *etag,
        *[("Date", DATE), ("Vary", "a"), ("Cache-Control", "x"), ("CDN-Cache-Control", "y"), ("Expires", DATE)],
        *[("Content-Location", "/p"), ("Age", "1"), ("Content-Security-Policy", "z"), ("X-A", "1"), ("x-a", "2")],
    )
    gone = [("Content-Type", "a/b"), ("content-length", "5"), ("Content-Encoding", "gzip"), ("Content-Language", "de")]
    modified = [("Last-Modified", DATE)]
    expected = kept if etag else (*kept, *modified)
    assert fields_of_304((*gone, *kept, *modified)) == expected


@pytest.mark.parametrize(
    ("told", "held", "only", "selected"),
    [
        ({"etag": '"a"'}, ('"a"', None), False, True),
        ({"etag": '"a"'}, ('"b"', None), True, False),
        ({"etag": '"a"'}, ('W/"a"', None), True, False),
        ({"etag": '"a"'}, (None, DATE), True, False),
        ({"etag": '"a"', "last-modified": DATE}, ('"b"', DATE), True, False),
        ({"etag": '"a"', "last-modified": LATE}, ('"a"', DATE), False, True),
        ({"etag": 'W/"a"'}, ('W/"a"', None), False, True),
        ({"etag": 'W/"a"'}, ('"a"', None), False, True),
        ({"etag": 'W/"a"'}, ('W/"b"', None), True, False),
        ({"etag": 'W/"a"', "last-modified": DATE}, ('W/"b"', DATE), True, False),
        ({"etag": 'W/"a"', "last-modified": DATE}, (None, DATE), False, True),
        ({"etag": 'W/"a"'}, (None, DATE), True, False),
        ({"last-modified": DATE}, (None, RFC850), False, True),
        ({"last-modified": DATE}, ('"a"', DATE), False, True),
        ({"last-modified": DATE}, (None, LATE), True, False),
        ({"last-modified": DATE}, ('"a"', None), True, False),
        ({}, (None, None), True, True),
        ({}, ('"a"', DATE), True, True),
        ({}, ('"a"', DATE), False, False),
        ({"etag": "a", "last-modified": "x"}, ('"a"', None), True, True),
        ({"etag": "a", "last-modified": "x"}, ('"a"', None), False, False),
    ],
)
def test_9111_4_3_4_which_response_a_304_is_about(
    told: dict[str, str], held: tuple[str | None, str | None], only: bool, selected: bool
) -> None:
    """A strong validator must be the same, a weak one correspond; without one, a single response is meant."""
    assert selects(Fields(told.items()), Validators(*held), only=only) is selected


@pytest.mark.parametrize(
    ("stored", "told", "updated"),
    [
        ("A: 1", "", "A: 1"),
        ("A: 1 | B: 2", "a: 3", "a: 3 | B: 2"),
        ("A: 1 | B: 2 | A: 3", "A: 4", "A: 4 | B: 2"),
        ("B: 2 | A: 1", "A: 4 | C: 5 | a: 6", "B: 2 | A: 4 | a: 6 | C: 5"),
        ("A: 1", "A: ", "A: "),
        ("Content-Length: 5 | A: 1", "Content-Length: 0 | content-length: 7", "Content-Length: 5 | A: 1"),
        ("A: 1", "Content-Length: 0", "A: 1"),
        ("Content-Type: a/b", "Content-Type: c/d | Content-Encoding: gzip", "Content-Type: c/d"),
        ("Content-Range: a | Content-MD5: b", "Content-Range: c | Content-MD5: d", "Content-Range: a | Content-MD5: b"),
        ("A: 1", "Connection: A | A: 2 | TE: x | Transfer-Encoding: chunked", "A: 1"),
        ("A: 1", "Upgrade: x | Keep-Alive: y | Proxy-Authenticate: z", "A: 1"),
        ("A: 1", "A: 2\r\nX: y", "A: 1"),
        ("A: 1 | Age: 50", "A: 2", "A: 2"),
        ("Age: 50 | A: 1", "Age: 7", "Age: 7 | A: 1"),
        ("Date: 1", "Date: 2 | ETag: 3", "Date: 2 | ETag: 3"),
    ],
)
def test_9111_3_2_a_304_updates_fields(stored: str, told: str, updated: str) -> None:
    """All lines of a name are replaced, but what is not stored or tells how to read the body; the rest stays."""
    assert update(pairs_of(stored), Fields(pairs_of(told))) == pairs_of(updated)


def pairs_of(text: str) -> Pairs:
    """Return the fields in a row of a table."""
    fields = [field.lstrip(" ").partition(": ") for field in text.split(" |") if field]
    return tuple((name, value) for name, _, value in fields)


@pytest.mark.parametrize(
    ("stored", "head", "agrees"),
    [
        ({}, {}, True),
        ({"etag": '"a"', "content-length": "5"}, {}, True),
        ({"etag": '"a"', "content-length": "5"}, {"etag": '"a"', "content-length": "5"}, True),
        ({"etag": '"a"'}, {"etag": '"b"'}, False),
        ({"etag": '"a"'}, {"etag": 'W/"a"'}, False),
        ({}, {"etag": '"a"'}, False),
        ({"last-modified": DATE}, {"last-modified": LATE}, False),
        ({"etag": '"a"', "last-modified": DATE}, {"etag": '"a"', "last-modified": LATE}, False),
        ({"content-length": "5"}, {"content-length": "6"}, False),
        ({}, {"content-length": "6"}, False),
    ],
)
def test_9111_4_3_5_a_head_agrees_or_not(stored: dict[str, str], head: dict[str, str], agrees: bool) -> None:
    """Each validator and the length that it has must be the stored ones."""
    assert agrees_with_head(Fields(stored.items()), Fields(head.items())) is agrees


@given(PAIRS, PAIRS)
def test_an_update_neither_drops_nor_invents(stored: Pairs, told: Pairs) -> None:
    """No fields raise. A name has all lines of the one message or all of the other, in order, and none from nowhere."""
    updated = update(stored, Fields(told))
    allowed = [pair for pair in storable(Fields(told)) if pair[0].lower() != "content-length"]
    for name in {pair[0].lower() for pair in (*stored, *told, *updated)}:
        lines = [pair for pair in updated if pair[0].lower() == name]
        new = [pair for pair in allowed if pair[0].lower() == name]
        old = [pair for pair in stored if pair[0].lower() == name and name != "age"]
        assert lines == (new or old)
    assert all(is_sound(*pair) and pair[0].lower() not in HOP_BY_HOP for pair in updated if pair not in stored)
    assert update(updated, Fields(told)) == updated


@given(PAIRS, PAIRS, st.floats(0, 4e9))
def test_no_condition_raises(pairs: Pairs, others: Pairs, received: float) -> None:
    """Whatever a client or an app sends gives an answer."""
    stored, request = Fields(pairs), Fields(others)
    held = validators_of(stored, NOW)
    for only in (True, False):
        assert selects(request, held, only=only) in {True, False}
    assert all(is_sound(*pair) for pair in request_fields([held]))
    assert set(fields_of_304(pairs)) <= set(pairs)
    assert agrees_with_head(stored, stored)
    for name in ("if-none-match", "if-modified-since"):
        condition = Fields([(name, value) for _, value in others])
        assert not_modified(condition, stored, received, NOW) in {True, False}


@given(st.lists(st.from_regex(r'(W/)?"[!#-~]{0,4}"', fullmatch=True)), st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_every_list_of_tags_reads_back(tags: list[str], comma: str) -> None:
    """However it is spaced."""
    assert entity_tags(comma.join(tags)) == tags


@given(TEXTS)
def test_a_tag_is_one_or_none(text: str) -> None:
    """What is taken for a tag can stand in a list and comes back from it."""
    tags = entity_tags(text)
    assert tags is None or all(entity_tags(tag) == [tag] for tag in tags)


@given(st.sampled_from(['"a"', 'W/"a"', '"b,c"', None]), st.sampled_from([DATE, None]))
def test_what_is_sent_to_validate_validates(etag: str | None, modified: str | None) -> None:
    """Our own conditions, sent back to us by a client, find the response that they were made of unmodified."""
    held = Validators(etag, modified)
    stored = Fields([pair for pair in (("etag", etag), ("last-modified", modified)) if pair[1]])  # type: ignore[misc]
    if sent := request_fields([held]):
        assert not_modified(Fields(sent), stored, RECEIVED, NOW)


def test_the_longest_lists_take_no_time_to_speak_of() -> None:
    """Work grows with the length of a text, not faster; else the time limit of a test ends this one."""
    for sign in ('"', ",", '"a,', '"a"', "W/", '"a" ', " ", '"a",', 'W/"', "\t,"):
        entity_tags(sign * 50_000)
