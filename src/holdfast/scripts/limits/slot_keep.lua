-- Renew the lease of a slot that is still held. One that was lost is not taken again: it may be another's by now.
--
-- KEYS   1 the slots, see slot_take
-- ARGV   1 token
--        2 lease in milliseconds
-- Reply  1 kept, 0 lost
-- O(log slots). Repeatable.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_when = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not until_when or tonumber(until_when) <= now then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], last[2] - now + 1)
return 1
