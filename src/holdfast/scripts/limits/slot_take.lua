-- Take one of a number of slots, each of which is lost when its lease runs out.
--
-- KEYS   1 the slots: a sorted set of tokens, scored with the instant in milliseconds at which their lease runs out
-- ARGV   1 token: new for each slot, the same when the call is sent again
--        2 how many slots there are
--        3 lease in milliseconds
-- Reply  {1 taken | 0 none is free, slots that are left, milliseconds until the first lease runs out if nobody renews}
-- O(log slots), and the slots whose lease has run out. Repeatable: a second execution renews the first.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local limit = tonumber(ARGV[2])
local held = redis.call('ZCARD', KEYS[1])
local mine = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not mine and held >= limit then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, 0, first[2] - now}
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], last[2] - now + 1)
return {1, math.max(0, limit - held - (mine and 0 or 1)), tonumber(ARGV[3])}
