-- Read the generation of a shelf, begin one where there is none, and see that it lives on.
--
-- KEYS   1 generation
-- ARGV   1 what to begin with: never used before
--        2 time to live in milliseconds, at least
-- Reply  the generation
-- O(1). Repeatable.
--
-- One that is gone (evicted, flushed) begins anew: what was stored under it is not found again, never wrongly found.

local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return ARGV[1]
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return found
