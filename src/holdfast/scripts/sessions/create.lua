-- Store a new session.
--
-- KEYS   1 the session, see load.lua
-- ARGV   1 digest of its secret
--        2 idle time in milliseconds
--        3 milliseconds after which it ends whatever happens
--        4 user; may be empty
--        5 `1` or `0`: whether its cookie outlives the browser; empty: as usual
--        6... name and frame of each datum
-- Reply  {1, now} stored, or it was by the same call before; {0} the handle is another session's
-- O(size of the session). Repeatable.

local own = redis.call('HGET', KEYS[1], '@k')
local now = now_of()
if own then
  return own == ARGV[1] and {1, now} or {0}
end
redis.call('HSET', KEYS[1], '@k', ARGV[1], '@i', ARGV[2], '@a', string.format('%.0f', now + ARGV[3]),
  '@c', string.format('%.0f', now), '@s', string.format('%.0f', now))
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], '@u', ARGV[4])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], '@p', ARGV[5])
end
for place = 6, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
end
redis.call('PEXPIRE', KEYS[1], math.min(ARGV[2], ARGV[3]))
return {1, now}
