"""The only place that talks to Redis: URL to topology, connections, pools, routing, and the two ports.

redis-py, hiredis and fakeredis are imported here and nowhere else. The core never imports this package; the layer
hands it a port.
"""
