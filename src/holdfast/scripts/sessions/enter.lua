-- Enter a session in the index of its user, before it is the user's.
--
-- KEYS   1 the index: a sorted set of handles, scored with the millisecond at which they have ended for certain
--        2 the mark of the last time that all sessions of the user were revoked
-- ARGV   1 handle
--        2 milliseconds after which the session has ended for certain
-- Reply  the mark, empty if there is none. If it differs after the session has become the user's, it has to end.
-- It never gets a shorter time than it has: two commands for one session may come in either order.
-- O(log sessions of the user), and those that have ended. Repeatable.

local now = now_of()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], 'GT', now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('GET', KEYS[2]) or ''
