-- Replace a value that is still the one that the caller has read.
--
-- KEYS   1 value
-- ARGV   1 what it was
--        2 what it is to be
--        3 time to live in milliseconds, 0 for the one that it has
-- Reply  1 replaced, 0 if it is another one by now, or gone
-- O(length of the values). Not repeatable: who sends it again cannot tell its own success from another's change.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
