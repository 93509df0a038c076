"""The shops of ``examples/`` do what they show: one Redis, two server processes each, and real HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from support.programs import oldest
from support.shops import SERVERS, Browser, Shop, served
from support.standalone import Standalone

MANY = 20


@pytest.mark.parametrize("name", SERVERS)
def test_a_shop(name: str, namespace: str, tmp_path: Path) -> None:
    """Pages come from the caches until something changes, carts lose nothing, and nothing is done twice."""

    async def visit(shop: Shop, redis: Standalone) -> None:
        await browse(shop)
        await fill_a_cart(shop)
        await log_in_and_out(shop)
        await buy_the_last_one(shop)
        await order_once(shop)
        await guess_a_password(shop)
        await log_out_everywhere(shop)
        await go_on_without_redis(shop, redis)

    with Standalone(oldest()) as redis, served(name, redis.url, namespace, tmp_path) as shop:
        asyncio.run(visit(shop, redis))


async def browse(shop: Shop) -> None:
    """What a process has stored is served by the other one, until a price changes by either."""
    async with shop.browser() as browser:
        first = await browser.ask("GET", "/")
        assert "stored" in first.headers["Cache-Status"]
        assert (await browser.get("/products/kettle"))["price"] == 2990
        shop.put("kettle", price=1, stock=12)
        again = await browser.ask("GET", "/")
        assert ";hit" in again.headers["Cache-Status"]
        assert again.json() == first.json()
        assert [(await browser.get("/products/kettle"))["price"] for _ in range(2)] == [2990, 2990]

        assert (await browser.ask("PUT", "/products/kettle/price", json={"price": 2500})).status_code == 200
        assert [(await browser.get("/products/kettle"))["price"] for _ in range(2)] == [2500, 2500]
        changed = await browser.ask("GET", "/")
        assert ";hit" not in changed.headers["Cache-Status"]
        assert {each["name"]: each["price"] for each in changed.json()}["kettle"] == 2500
        assert (await browser.ask("GET", "/products/none")).status_code == 404


async def fill_a_cart(shop: Shop) -> None:
    """Many requests at once, to both processes, put each what they bring into the one cart."""
    names = [f"spoon-{number}" for number in range(MANY)]
    shop.put("fork", *names, stock=MANY)
    async with shop.browser() as browser:
        await browser.add("fork")
        await asyncio.gather(*[browser.add(name) for name in names for name in (name, "fork")])
        assert await browser.get("/cart") == {"fork": MANY + 1, **dict.fromkeys(names, 1)}


async def log_in_and_out(shop: Shop) -> None:
    """Who logs in keeps the cart and gets a new cookie, and the old one opens nothing."""
    async with shop.browser() as browser:
        assert (await browser.ask("GET", "/devices")).status_code == 401
        await browser.add("cup")
        before = browser.cookie
        assert (await browser.log_in(password="wrong")).status_code == 403
        assert (await browser.log_in()).status_code == 200
        after = browser.cookie
        assert after != before
        assert await browser.get("/cart") == {"cup": 1}
        async with browser.with_cookie(before) as thief:
            assert await thief.get("/cart") == {}
            assert (await thief.ask("GET", "/devices")).status_code == 401
        assert (await browser.ask("POST", "/logout")).status_code == 204
        async with browser.with_cookie(after) as thief:
            assert await thief.get("/cart") == {}


async def buy_the_last_one(shop: Shop) -> None:
    """Of many who order the last piece at once, one gets it."""
    shop.put("vase", stock=1)
    async with AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(shop.browser()) for _ in range(MANY)]
        await asyncio.gather(*[browser.add("vase") for browser in browsers])
        answers = await asyncio.gather(*[browser.ask("POST", "/orders", key="vase") for browser in browsers])
        winner = [answer.status_code for answer in answers].index(201)
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: MANY - 1}
        assert (shop.stock("vase"), shop.orders("vase")) == (0, 1)
        # All had the same key. Each gets the own answer again, not that of the winner.
        again = [await browser.ask("POST", "/orders", key="vase") for browser in browsers]
        assert [answer.text for answer in again] == [answer.text for answer in answers]
        assert {answer.headers["Idempotency-Replayed"] for answer in again} == {"true"}
        carts = [await browser.get("/cart") for browser in browsers]
        assert carts == [{} if number == winner else {"vase": 1} for number in range(MANY)]
        assert (await browsers[0].get("/products/vase"))["stock"] == 0


async def order_once(shop: Shop) -> None:
    """An order that is sent many times at once, and again later, is one; each gets its answer, or is told to wait."""
    shop.put("lamp", stock=MANY)
    async with shop.browser() as browser:
        await browser.add("lamp")
        assert (await browser.ask("POST", "/orders")).status_code == 400  # no key
        answers = await asyncio.gather(*[browser.ask("POST", "/orders", key="lamp") for _ in range(MANY)])
        answers.append(await browser.ask("POST", "/orders", key="lamp"))
        made = [answer for answer in answers if answer.status_code == 201]
        assert [answer.json() for answer in made] == [made[0].json()] * len(made)
        assert [answer.headers.get("Idempotency-Replayed") for answer in made].count(None) == 1
        assert answers[-1].headers["Idempotency-Replayed"] == "true"
        for answer in answers:
            if answer.status_code != 201:
                assert_problem(answer, 409)
        assert (shop.stock("lamp"), shop.orders("lamp")) == (MANY - 1, 1)
        assert await browser.get("/cart") == {}


async def guess_a_password(shop: Shop) -> None:
    """Whoever tries too many is refused, even with the right one; others, and other pages, are not."""
    async with shop.browser() as browser, shop.browser() as other:
        answers = [await browser.log_in(password=f"guess {number}") for number in range(5)]
        assert [answer.status_code for answer in answers] == [403] * 5
        refusal = await browser.log_in()
        assert_problem(refusal, 429)
        assert refusal.json()["violated-policies"] == ["login"]
        assert '"login"' in refusal.headers["RateLimit"]
        assert '"login";q=5;w=60' in refusal.headers["RateLimit-Policy"]
        assert refusal.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in refusal.headers
        assert '"all";q=120;w=60' in (await browser.ask("GET", "/cart")).headers["RateLimit-Policy"]
        assert (await other.log_in()).status_code == 200


async def log_out_everywhere(shop: Shop) -> None:
    """All devices of a user are listed, and logged out from any of them; those of others stay."""
    async with shop.browser() as phone, shop.browser() as desk, shop.browser() as other:
        devices: list[Browser] = [phone, desk]
        for browser in devices:
            assert (await browser.log_in("grace")).status_code == 200
        await other.log_in()
        for browser in devices:
            assert sorted(each["this"] for each in await browser.get("/devices")) == [False, True]
        ended = await phone.ask("DELETE", "/devices")
        assert ended.json() == {"ended": 2}
        assert [(await browser.ask("GET", "/devices")).status_code for browser in devices] == [401, 401]
        assert (await other.ask("GET", "/devices")).status_code == 200


async def go_on_without_redis(shop: Shop, redis: Standalone) -> None:
    """All may look around, and are shown what is there now; nothing is ordered until Redis is back."""
    async with shop.browser() as browser, shop.browser() as known:
        await known.add("fork")
        await known.get("/")
        redis.kill()
        assert (await browser.ask("PUT", "/products/cup/price", json={"price": 500})).status_code == 200
        for _ in shop.ports:
            assert {each["name"]: each["price"] for each in await known.get("/")}["cup"] == 500
            assert (await known.get("/products/cup"))["price"] == 500
            assert_problem(await browser.ask("POST", "/orders", key="cup"), 503)
        redis.start()
        while await down(browser, shop):  # noqa: ASYNC110 - no process says when it has found Redis again
            await asyncio.sleep(0.02)
        await browser.add("cup")
        assert (await browser.ask("POST", "/orders", key="cup")).status_code == 201


async def down(browser: Browser, shop: Shop) -> bool:
    """Say whether one of the processes still believes that Redis is away."""
    return 503 in [(await browser.ask("POST", "/orders", key="none")).status_code for _ in shop.ports]


def assert_problem(response: httpx.Response, status: int) -> None:
    """Check that a response is a problem that says when to come again."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    assert response.json()["status"] == status
    assert int(response.headers["Retry-After"]) >= 1
