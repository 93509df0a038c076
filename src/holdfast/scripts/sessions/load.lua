-- Read a session, and keep it for another idle time.
--
-- KEYS   1 the session: a hash of `@...`, what we know of it, and `.<name>`, its data as frames
--            @k digest of the secret   @o of the one before   @ou until when that may still save   @u user
--            @c created   @a when it ends whatever happens   @i idle time      (milliseconds; Unix time by this server)
-- ARGV   1 digest of the secret; empty for our own code
-- Reply  {0} there is no such session   {1} the secret was replaced a moment ago   {2, now, {name, value...}}
-- O(size of the session). Repeatable.
--
-- The time to live is renewed only when a second of it, or a tenth, is gone: the requests of one page cost one write.

local own, old, old_until, ends, idle = unpack(redis.call('HMGET', KEYS[1], '@k', '@o', '@ou', '@a', '@i'))
local now = now_of()
local kind = worth(own, old, old_until, ARGV[1], now)
if kind < 2 then
  return {kind}
end
local left = math.min(tonumber(idle), ends - now)
if left <= 0 then
  redis.call('UNLINK', KEYS[1])
  return {0}
end
if left - redis.call('PTTL', KEYS[1]) >= math.min(1000, idle / 10) then
  redis.call('PEXPIRE', KEYS[1], left)
end
return {2, now, redis.call('HGETALL', KEYS[1])}
