"""A model of the world around the cache: several processes, one Redis, and chance that decides who goes on.

The cache itself is the real one, and so are its scripts. `world` has the clock and the choice, `lines` the way of a
command to Redis and back, `news` that of messages, `port` what the core sees, `ledger` and `promises` what must hold,
`play` who takes part, and `scenarios` the mixtures that are worth trying.
"""
