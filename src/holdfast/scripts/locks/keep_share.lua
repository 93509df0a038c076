-- Renew the lease of a part that is still held. One that was lost is not taken again: it may be another's by now.
--
-- KEYS   1 held: who holds a part, see share
-- ARGV   1 member
--        2 lease in milliseconds
-- Reply  1 kept, 0 lost
-- O(log members), and those who are dropped. Repeatable.
--
-- What has run out is dropped first: a server whose memory is full refuses ZADD, unless the script has written before.

drop_expired()
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
hold(ARGV[1], ARGV[2])
return 1
