-- Prolong a lease that is still held.
--
-- KEYS   1 lease
-- ARGV   1 token
--        2 lease in milliseconds, from now
-- Reply  1 prolonged, 0 lost
-- O(1). Repeatable.
--
-- It never sets the key: a lease that came back after an invalidation had revoked it would let old data be stored.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
