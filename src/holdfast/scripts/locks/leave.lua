-- Give a lock back, and tell all who wait for it.
--
-- KEYS   1 held: the member that holds it
-- ARGV   1 member
--        2 channel
-- Reply  1 given back, 0 it was lost before
-- O(1). Not repeatable: a second execution says that it was lost.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], '')
return 1
