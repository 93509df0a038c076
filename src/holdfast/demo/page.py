"""The index page, the same in each skin: links to the reports, and what the layer has counted. Plain HTML."""

from __future__ import annotations

from html import escape
from typing import Final

from holdfast.demo.reports import PAGES
from holdfast.demo.watch import Watch
from holdfast.layer import Layer

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.lead { color: #666; margin-top: .3rem; }
ul { columns: 2; padding-left: 1.2rem; } a { color: #05c; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; }
th { text-align: left; font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
button { font: inherit; padding: .3rem .9rem; margin: 1rem .5rem 0 0; }
"""


def render(skin: str, layer: Layer, watch: Watch) -> str:
    """Return the page.

    Args:
        skin: the framework that serves it.
        layer: whose counts are shown.
        watch: the hook of that layer, which knows how long reports took.
    """
    links = "".join(f'<li><a href="{escape(page.path)}">{escape(page.title)}</a></li>' for page in PAGES)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>holdfast demo: {escape(skin)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>
<body>
<h1>The catalogue, served by {escape(skin)}</h1>
<p class="lead">Each report reads all orders in SQLite. Who asks first waits for that;
who asks next gets it from the cache.</p>
<h2>Reports</h2>
<ul>{links}</ul>
<h2>What the cache did</h2>
{_counts(layer, watch)}
<form method="post" action="/forget"><button>Forget the reports</button>
so that the next reader waits for the database again</form>
</body>
</html>
"""


def _counts(layer: Layer, watch: Watch) -> str:
    numbers = "".join(f'<th class="n">{title}</th>' for title in ("Hits", "Misses", "The query took"))
    stats = layer.stats()
    body = [
        _row(pattern, counts.hits, counts.misses, watch.load_times.get(pattern))
        for pattern, counts in sorted(stats.patterns.items())
        if counts.hits or counts.misses
    ]
    head = f"<tr><th>Key template</th>{numbers}</tr>"
    return f"<table>{head}{''.join(body)}{_row('in all', stats.hits, stats.misses, None)}</table>"


def _row(title: str, hits: int, misses: int, seconds: float | None) -> str:
    took = "" if seconds is None else f"{seconds * 1000:,.0f} ms"
    numbers = "".join(f'<td class="n">{escape(text)}</td>' for text in (f"{hits:,}", f"{misses:,}", took))
    return f"<tr><td>{escape(title)}</td>{numbers}</tr>"
