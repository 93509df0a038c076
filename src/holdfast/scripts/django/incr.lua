-- Add to a whole number, and keep its time to live.
--
-- KEYS   1 value
-- ARGV   1 what to add, a whole number
-- Reply  nothing if there is no such value; [1, the sum]; [0, value] if it is no whole number, or would be too large
-- O(length of the value). Not repeatable.
--
-- The sum is read back as text: a number in Lua is exact up to 2^53 only.

if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
local added = type(sum) == 'number' and 1 or 0
return {added, redis.call('GET', KEYS[1])}
