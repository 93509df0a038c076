-- Renew a lock that is still held. One that was lost is not taken again: it may be another's by now.
--
-- KEYS   1 held: the member that holds it
-- ARGV   1 member
--        2 lease in milliseconds
-- Reply  1 kept, 0 lost
-- O(1). Repeatable.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
