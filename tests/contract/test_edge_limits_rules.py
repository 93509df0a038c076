"""Limits at the edge, for ASGI and WSGI alike: which requests a rule is about, whom it counts for, what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import ConfigurationError, Layer, configure
from holdfast.events import Limited
from holdfast.web import LimitRule
from support.colours import Colour
from support.edge_limits import Made, Site, left, taken
from support.peeking import told
from support.staged import Stage
from support.topologies import Topology

pytestmark = pytest.mark.usefixtures("patient_limits")


def test_one_round_trip_whatever_the_rules_and_all_or_none(colour: Colour, topology: Topology, namespace: str) -> None:
    """A request that one of several rules refuses consumes nothing under any, in Redis, on every topology."""
    rules = [
        LimitRule("9/hour", by="header:x-key", name="key"),
        LimitRule("2/hour", by=None, name="all"),
        LimitRule("8/hour, 7/minute", per_route=False, name="more"),
    ]

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site = Site(colour, layer, rules=rules)
            stage = Stage(layer)
            first = await site.ask("/", ("X-Key", "a"))
            if topology.name != "cluster":
                assert stage.sent == ["hit"]
            assert first.left == {"key": 8, "all": 1, "more-per-hour": 7, "more-per-minute": 6}
            assert (await site.ask("/", ("X-Key", "b"))).status == 200
            refused = await site.ask("/", ("X-Key", "a"))
            assert refused.status == 429
            assert left(layer, "8/hour; name=more-per-hour, 7/minute; name=more-per-minute", "more") == 5
            assert left(layer, "2/hour; name=all", "all", "all:all") == 0
            assert len(site.calls) == 2

    colour.run(scenario)


def test_rules_about_one_client_share_a_slot_of_a_cluster(colour: Colour, topology: Topology, namespace: str) -> None:
    """So one script sees all of their buckets, and nobody sees a hit charged that is refunded a moment later."""

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            site = Site(colour, layer, quota="5/hour", rules=[LimitRule("1/minute", paths=["/"], name="few")])
            stage = Stage(layer)
            assert (await site.ask()).status == 200
            assert (await site.ask()).status == 429
            assert stage.sent == ["hit", "hit"]
            assert left(layer, "5/hour", "_every") == 4

    colour.run(scenario)


def test_no_two_rules_share_a_bucket_nor_two_namespaces(colour: Colour, namespace: str) -> None:
    """The same text as a client, a header, what a function returns, and in another namespace, is somebody else."""
    name = "192.0.2.1"
    rules = [
        LimitRule("1/hour", paths=["/client"]),
        LimitRule("1/hour", paths=["/client2"]),
        LimitRule("1/hour", paths=["/header"], by="header:x-key"),
        LimitRule("1/hour", paths=["/header2"], by="header:x-other"),
        LimitRule("1/hour", paths=["/function"], by=lambda _: name),
        LimitRule("1/hour", paths=["/function2"], by=lambda _: name),
        LimitRule("1/hour", paths=["/all"], by=None),
        LimitRule("1/hour", paths=["/all2"], by=None),
    ]
    paths = [rule.paths[0] for rule in rules]

    async def scenario() -> None:
        for part in ("a", "b"):
            async with colour.using(Layer(f"memory://{namespace}", namespace=part)) as layer:
                site = Site(colour, layer, rules=rules)
                fields = (("X-Key", name), ("X-Other", name))
                assert [(await site.ask(path, *fields)).status for path in paths] == [200] * 8
                assert [(await site.ask(path, *fields)).status for path in paths] == [429] * 8

    colour.run(scenario)


def test_a_rule_is_about_its_methods_and_paths(colour: Colour, layer: Layer) -> None:
    """Other requests are not counted, and get no field."""

    async def scenario() -> None:
        site = Site(colour, layer, rules=[LimitRule("1/hour", paths=["/pay", "/shop/*/pay"], methods=["POST"])])
        for path, method in (("/pay", "GET"), ("/payment", "POST"), ("/", "POST")):
            reply = await site.ask(path, method=method)
            assert (reply.status, reply.get("RateLimit")) == (200, None)
        assert (await site.ask("/shop/7/pay", method="POST")).status == 200
        assert await site.statuses(1, "/pay/now", method="POST") == [429]

    colour.run(scenario)


@pytest.mark.parametrize("path", ["/login", "/login/", "//login", "/LOGIN", "/login;a=b", "/x/../login", "/%6cogin"])
def test_writing_a_path_in_another_way_evades_no_rule(colour: Colour, layer: Layer, path: str) -> None:
    """However an app may read it."""

    async def scenario() -> None:
        site = Site(colour, layer, rules=[LimitRule("1/hour", paths=["/login"])])
        assert await site.statuses(1, "/login") == [200]
        assert await site.statuses(1, path) == [429]

    colour.run(scenario)


@pytest.mark.parametrize("path", ["/health/../login", "//health", "/health;/login", "/health%2f..", "/healthy"])
def test_writing_a_path_in_another_way_exempts_nothing(colour: Colour, layer: Layer, path: str) -> None:
    """What is exempt is so only where it can be read in one way."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/hour", exempt=["/health"])
        assert await site.statuses(3, "/health/live") == [200] * 3
        assert await site.statuses(2, path) == [200, 429]

    colour.run(scenario)


def test_a_function_may_exempt_a_request(colour: Colour, layer: Layer) -> None:
    """From all rules, or from one."""

    async def scenario() -> None:
        of_all = Site(colour, layer, quota="1/hour", exempt=lambda request: request.get("x-staff") == "yes")
        assert await of_all.statuses(3, "/", ("X-Staff", "yes")) == [200] * 3
        rule = LimitRule("1/hour", name="one", exempt=colour.function(lambda request: request.query == "free"))
        of_one = Site(colour, layer, rules=[rule, LimitRule("3/hour", name="other")])
        assert (await of_one.ask("/?free")).left == {"other": 2}
        assert (await of_one.ask("/")).left == {"one": 0, "other": 1}

    colour.run(scenario)


def test_whom_a_function_names_is_counted(colour: Colour, layer: Layer) -> None:
    """None is nobody whom the rule is about; anything else but text is a mistake."""
    users: dict[str, Any] = {"a": "ann", "b": None, "c": 7, "d": ""}

    async def scenario() -> None:
        rule = LimitRule("1/hour", by=colour.function(lambda request: users[request.query]))
        site = Site(colour, layer, rules=[rule])
        assert await site.statuses(2, "/?a") == [200, 429]
        assert await site.statuses(2, "/?b") == [200, 200]
        for query in ("c", "d"):
            with pytest.raises(ConfigurationError, match="by= must return text"):
                await site.ask(f"/?{query}")

    colour.run(scenario)


def test_a_value_of_a_field_does_not_show_in_keys(colour: Colour, layer: Layer) -> None:
    """It is a secret of the client; and one of ten kilobytes is no key."""

    async def scenario() -> None:
        events = told(layer, Limited)
        site = Site(colour, layer, rules=[LimitRule("1/hour", by="header:x-key", name="key")])
        for value in ("sesame", "{ses}\name:" * 1000):
            assert await site.statuses(2, "/", ("X-Key", value)) == [200, 429]
        assert len({event.key for event in events}) == 2
        assert not any("ses" in event.key or len(event.key) > 200 for event in events)

    colour.run(scenario)


@pytest.mark.parametrize("name", ["a}:{b", "new\nline", "x" * 10_000, "\u00e9\ud800", "client:192.0.2.1", " "])
def test_odd_names_are_somebody_of_their_own(colour: Colour, layer: Layer, name: str) -> None:
    """Whatever text it is, it is told from others, and its key has the one tag that a cluster looks at."""

    async def scenario() -> None:
        events = told(layer, Limited)
        site = Site(colour, layer, rules=[LimitRule("1/hour", by=lambda request: name + request.query)])
        assert await site.statuses(2) == [200, 429]
        assert await site.statuses(2, "/?b") == [200, 429]
        first, second = (event.key for event in events)
        assert first != second
        for key in (first, second):
            assert (key.count("{"), key.count("}"), "\n" in key, len(key) < 300) == (1, 1, False, True)

    colour.run(scenario)


def test_the_shortest_budget_holds_for_all_rules(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked in one command."""
    monkeypatch.undo()  # limits are patient elsewhere on this page
    seen: list[float | None] = []
    port: Any = layer.engine.blocking

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(port, name)

        def call_now(self, command: Any) -> Any:
            seen.append(command.patience)
            return port.call_now(command)

    layer.engine.blocking = Watching()  # type: ignore[assignment]
    rules = [LimitRule("9/hour", name="a", budget="3s"), LimitRule("9/hour", name="b", budget="2s")]
    site = Site(Colour("sync"), layer, rules=rules)
    assert Colour("sync").run(site.ask).left == {"a": 8, "b": 8}
    assert seen == [2.0]


def test_a_route_is_counted_by_its_template(colour: Colour, layer: Layer) -> None:
    """Each route apart, all its paths together; and what no route answers together, whatever its path."""
    routes: dict[str, str] = {"/items/1": "/items/{id}", "/items/2": "/items/{id}", "/users/1": "/users/{id}"}

    def find_route(given: Any) -> str | None:
        return routes.get(given["path"] if colour.is_async else given["PATH_INFO"])

    async def scenario() -> None:
        apart = Site(colour, layer, route=find_route, rules=[LimitRule("1/hour", per_route=True, name="apart")])
        asked = ["/items/1", "/items/2", "/users/1", "/none", "/nothing"]
        assert [(await apart.ask(path)).status for path in asked] == [200, 429, 200, 200, 429]
        assert (await apart.ask("/items/1", peer="192.0.2.9")).status == 200
        one = Site(colour, layer, route=find_route, rules=[LimitRule("1/hour", routes=["/items/{id}"], by="route")])
        assert [(await one.ask(path)).status for path in asked] == [200, 429, 200, 200, 200]
        assert (await one.ask("/items/1", peer="192.0.2.9")).status == 429

    colour.run(scenario)


@pytest.mark.parametrize(
    ("unknown", "statuses"), [("refuse", [400, 400]), ("share", [200, 429]), ("allow", [200, 200])]
)
def test_who_is_unknown_is_treated_as_the_user_says(
    colour: Colour, layer: Layer, unknown: str, statuses: list[int]
) -> None:
    """By default the app never sees such a request. A rule may say otherwise for itself."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/hour", unknown=unknown)
        assert await site.statuses(2, peer=None) == statuses
        assert len(site.calls) == statuses.count(200)
        key = LimitRule("1/hour", by="header:x-key", unknown=unknown)
        assert await Site(colour, layer, rules=[key], unknown="refuse").statuses(2) == statuses
        bodiless = await Site(colour, layer, quota="1/hour").ask(peer=None, method="HEAD")
        assert (bodiless.status, bodiless.body, bodiless.get("Cache-Control")) == (400, b"", "no-store")

    colour.run(scenario)


def test_a_peer_with_a_name_is_known_by_it_where_there_is_no_proxy(colour: Colour, layer: Layer) -> None:
    """As those of test clients are; but not a word that stands for nobody."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/hour")
        assert await site.statuses(2, peer="testclient") == [200, 429]
        for nobody in ("unknown", "_hidden", "localhost", "0.0.0.0", "a b"):
            assert await site.statuses(1, peer=nobody) == [400]
        behind = Site(colour, layer, quota="1/hour", trusted=["10.0.0.0/8"])
        assert await behind.statuses(1, peer="testclient") == [400]

    colour.run(scenario)


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
@pytest.mark.parametrize("options", [{}, {"trusted": ["10.0.0.0/8"]}, {"hops": 1}])
def test_pretending_to_be_somebody_else_does_not_help(
    colour: Colour, layer: Layer, name: str, options: dict[str, Any]
) -> None:
    """Whatever a client writes into the field, it has one quota, and spends nobody's but its own."""
    peer = "10.0.0.5" if options else "198.51.100.7"

    def field(*hosts: str) -> tuple[str, str]:
        hosts = (*hosts, "198.51.100.7") if options else hosts
        return name, ", ".join(f"for={host}" if name == "Forwarded" else host for host in hosts)

    async def scenario() -> None:
        site = Site(colour, layer, quota="2/hour", **options)
        spoofed = [field(f"203.0.113.{number}") for number in range(5)]
        assert [(await site.ask("/", each, peer=peer)).status for each in spoofed] == [200, 200, 429, 429, 429]
        if options:
            victim = (name, "for=203.0.113.1" if name == "Forwarded" else "203.0.113.1")
            assert (await site.ask("/", victim, peer=peer)).status == 200
        if "trusted" in options:  # who comes past the proxy is himself
            assert await site.statuses(3, "/", field("203.0.113.9"), peer="198.51.100.7") == [429] * 3

    colour.run(scenario)


def test_addresses_of_one_network_are_one_client(colour: Colour, layer: Layer) -> None:
    """A customer has 2^64 of them."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="2/hour")
        peers = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1", "2001:db8:0:1::1"]
        assert [(await site.ask(peer=peer)).status for peer in peers] == [200, 200, 429, 200]

    colour.run(scenario)


def test_a_request_costs_what_a_function_says(colour: Colour, layer: Layer) -> None:
    """Units, of every rule; what is no number of units is a mistake."""

    async def scenario() -> None:
        cost = colour.function(lambda request: int(request.query))
        site = Site(colour, layer, quota="10/hour", cost=cost)
        assert [(await site.ask(f"/?{units}")).left["per-hour"] for units in (3, 0, 7)] == [7, 7, 0]
        with pytest.raises(ConfigurationError, match="cost=-1"):
            await site.ask("/?-1")
        assert (await Site(colour, layer, quota="10/day", cost=4).ask()).left["per-day"] == 6

    colour.run(scenario)


def test_what_a_response_has_cost_is_charged_once(colour: Colour, topology: Topology, namespace: str) -> None:
    """By its status, fields and size, when it is complete; a refused request costs nothing."""
    seen: list[Any] = []

    def settle(status: int, pairs: Any, size: int) -> int:
        seen.append((status, dict(pairs)["X-A" if not colour.is_async else "x-a"], size))
        return size

    async def scenario() -> None:
        async with colour.using(Layer(topology.url, namespace=namespace)) as layer:
            made = Made(201, (("X-A", "1"),), (b"12345", b"678"))
            site = Site(colour, layer, lambda _: made, quota="10/hour", settle=colour.function(settle))
            assert (await site.ask()).left["per-hour"] == 9
            assert left(layer, "10/hour", "_every") == 2
            assert await site.statuses(1) == [200 + 1]
            assert await site.statuses(1) == [429]
            assert seen == [(201, "1", 8)] * 2

    colour.run(scenario)


@pytest.mark.parametrize("outcome", [LookupError("lost"), -1, "many", None])
def test_a_settlement_that_fails_leaves_the_estimate(
    colour: Colour, layer: Layer, outcome: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The response is on its way already. It is logged; None says on purpose that the estimate is right."""

    def settle(*_: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def scenario() -> None:
        site = Site(colour, layer, quota="10/hour", settle=settle)
        assert (await site.ask()).status == 200
        assert left(layer, "10/hour", "_every") == 9
        assert [record.levelname for record in caplog.records] == ([] if outcome is None else ["ERROR"])

    colour.run(scenario)


def test_in_shadow_nothing_is_refused(colour: Colour, layer: Layer) -> None:
    """Neither by all rules, of which no field tells then, nor by the one that only watches."""

    async def scenario() -> None:
        events = told(layer, Limited)
        site = Site(colour, layer, quota="1/hour", shadow=True)
        replies = [await site.ask() for _ in range(2)]
        assert [(reply.status, reply.get("RateLimit-Policy")) for reply in replies] == [(200, None)] * 2
        assert site.decisions[1].refused_by == ("per-hour",)
        assert [event.shadow for event in events] == [True]
        trial = LimitRule("1/day", name="trial", shadow=True, concurrency=1)
        both = Site(colour, layer, quota="3/day", rules=[trial])
        assert [list((await both.ask()).left) for _ in range(3)] == [["per-day"]] * 3
        assert await both.statuses(1) == [429]
        assert [event.shadow for event in events[1:]] == [True, True, False]
        assert taken(layer, "trial") == 0

    colour.run(scenario)


@pytest.mark.parametrize(
    ("on_failure", "statuses"), [("open", [200, 200]), ("closed", [503, 503]), ("local", [200, 503])]
)
def test_without_redis_the_failure_policy_decides(
    colour: Colour, layer: Layer, on_failure: Any, statuses: list[int]
) -> None:
    """Nothing is said then of what is left, for nobody knows; who is refused is told when to come again."""

    async def scenario() -> None:
        site = Site(colour, layer, quota="1/hour", on_failure=on_failure)
        with Stage(layer).away():
            replies = [await site.ask() for _ in range(2)]
        assert [reply.status for reply in replies] == statuses
        assert len(site.calls) == statuses.count(200)
        for reply in replies:
            assert reply.get("RateLimit") is None
            assert reply.members("RateLimit-Policy") == {"per-hour": {"q": 1, "w": 3600}}
            assert (reply.get("Retry-After") is not None) == (reply.status == 503)

    colour.run(scenario)


@pytest.mark.parametrize(("on_failure", "status"), [("open", 200), ("closed", 503), ("local", 200)])
def test_slots_without_redis_follow_the_failure_policy(
    colour: Colour, layer: Layer, on_failure: Any, status: int
) -> None:
    """And nothing is held afterwards: in this process, or in Redis when it is back."""

    async def scenario() -> None:
        site = Site(colour, layer, rules=[LimitRule("9/hour", concurrency=1, name="work")], on_failure=on_failure)
        with Stage(layer).away():
            assert await site.statuses(3) == [status] * 3
        assert (await site.ask()).left == {"work": 8, "work-concurrency": 0}
        assert taken(layer, "work") == 0

    colour.run(scenario)


def test_of_several_rules_the_strictest_decides_without_redis(colour: Colour, layer: Layer) -> None:
    """A rule may say for itself what happens then."""

    async def scenario() -> None:
        rules = [LimitRule("9/hour", name="a"), LimitRule("9/hour", paths=["/pay"], name="b", on_failure="closed")]
        site = Site(colour, layer, rules=rules)
        with Stage(layer).away():
            assert [(await site.ask(path)).status for path in ("/", "/pay")] == [200, 503]

    colour.run(scenario)


def test_a_disabled_layer_limits_nothing(colour: Colour, layer: Layer) -> None:
    """Neither with one rule nor with several."""

    async def scenario() -> None:
        for more in ([], [LimitRule("1/hour", concurrency=1)]):
            site = Site(colour, layer, quota="1/hour", rules=more)
            with layer.disabled():
                assert await site.statuses(3) == [200] * 3
            assert await site.statuses(2) == [200, 429] or more

    colour.run(scenario)


def test_the_layer_of_the_moment_is_used(colour: Colour, namespace: str) -> None:
    """A middleware without one finds the default layer at each request."""

    async def scenario() -> None:
        site = Site(colour, None, quota="1/hour")
        for part in ("a", "b"):
            async with colour.using(configure(f"memory://{namespace}", namespace=part)):
                assert await site.statuses(2) == [200, 429]
        configure()

    colour.run(scenario)
