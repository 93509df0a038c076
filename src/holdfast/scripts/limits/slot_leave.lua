-- Give a slot back.
--
-- KEYS   1 the slots, see slot_take
-- ARGV   1 token
-- Reply  1 given back, 0 it was lost before, and others have looked at the slots since
-- O(log slots). Repeatable.

return redis.call('ZREM', KEYS[1], ARGV[1])
