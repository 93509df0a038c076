"""Limit how often things are done: by user, by plan, by tokens, and by how many at a time.

    python examples/rate_limits.py

It uses the embedded backend; with HOLDFAST_URL=redis://localhost:6379/0 it uses a real server.
"""

from __future__ import annotations

import asyncio

from holdfast import Layer, Quota, RateLimited

layer = Layer.from_env()
limiter = layer.limiter
plans: dict[str, str | Quota] = {"free": "2/hour", "pro": Quota(1000, "1h", burst=50)}


@layer.rate_limited("3/hour", key="search:{user}")
def search(user: str, word: str) -> str:
    return f"{user} finds a {word}"


@layer.rate_limited(lambda user, plan: plans[plan], key="export:{user}", on_refused=lambda _: "come back later")
async def export(user: str, plan: str) -> str:
    return f"the export of {user}"


def ask_model(user: str, tokens: int) -> None:
    """Reserve what an answer may cost at most, and settle what it has cost."""
    decision = limiter.hit("1000/day", f"tokens:{user}", cost=600)
    if decision.allowed:
        decision = limiter.settle(decision, tokens)
        print(f"an answer of {tokens} tokens; left: {decision.remaining}")
    else:
        print(f"no answer: too little left of {', '.join(decision.refused_by)}")


def use_sync() -> None:
    for word in ("teapot", "kettle", "cup"):
        print(search("ada", word))
    try:
        search("ada", "spoon")
    except RateLimited as error:
        print(f"and no more for {error.decision.retry_after / 60:.0f} minutes")
    print(search("grace", "spoon"))

    for tokens in (350, 200, 50):
        ask_model("ada", tokens)

    hits = [("100/hour; name=all", "site"), ("1/hour; name=address", "address:10.0.0.7")]
    print("both quotas:", limiter.hit_all(hits).allowed)
    print("refused by:", limiter.hit_all(hits).refused_by)
    print("left of the other:", limiter.peek(*hits[0]).remaining)


async def use_async() -> None:
    async with layer:  # closed at the end
        for plan in ("free", "free", "free", "pro"):
            print(plan, await export("ada", plan), sep=": ")

        async with limiter.concurrency(2, "reports") as slot:
            print("slots that are left:", slot.decision.remaining)
        await forget()


async def forget() -> None:
    """Leave nothing behind."""
    await limiter.areset("1000/day", "tokens:ada")
    await limiter.areset("100/hour; name=all", "site")
    await limiter.areset("1/hour; name=address", "address:10.0.0.7")
    for key in ("search:ada", "search:grace", "export:ada"):
        await limiter.areset("1/hour", key)


if __name__ == "__main__":
    use_sync()
    asyncio.run(use_async())
    print("refused:", layer.stats().limited)
