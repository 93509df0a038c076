"""The near cache on a cluster whose slots move and whose nodes die."""

from __future__ import annotations

from holdfast import Layer
from support.cluster import Cluster
from support.colours import Colour
from support.peeking import is_near, keep_near, near_epoch
from support.programs import newest
from support.table import Table


def test_moved_slots_and_a_dead_node(namespace: str) -> None:
    """Changes are heard wherever the entry lies; when the subscriber's node dies nothing from before is left."""
    colour = Colour("sync")

    async def scenario() -> None:
        with Cluster(newest(), full_coverage=False, node_timeout=1000) as cluster:
            async with (
                colour.using(Layer(cluster.url, namespace=namespace, near=60)) as layer,
                colour.using(Layer(cluster.url, namespace=namespace)) as other,
            ):
                table = Table(colour)
                row = table.on(layer, tags=["t"])
                key = await keep_near(colour, layer, row)
                for target in [each for each in cluster.primaries if each is not cluster.owner(key)]:
                    move = cluster.move(key, target)
                    move.begin()
                    move.carry(*move.keys())
                    move.finish()
                    table.value += 1
                    if table.value == 2:
                        other.cache.delete("row:1")
                    else:
                        other.cache.invalidate_tags("t")
                    await colour.until(lambda: not is_near(layer, key), "the change was heard")
                    assert await colour.call(row, 1) == table.value
                    await keep_near(colour, layer, row)
                epoch = near_epoch(layer)
                (node,) = (each for each in cluster.primaries if each.client.pubsub_numpat())
                cluster.kill(node)
                await colour.until(lambda: near_epoch(layer) not in {epoch, None}, "the news are heard again")
                assert not is_near(layer, key)

    colour.run(scenario)
