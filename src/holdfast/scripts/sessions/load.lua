-- Read a session, and keep it for another idle time.
--
-- KEYS   1 the session: a hash of `@...`, what we know of it, and `.<name>`, its data as frames
--            @k digest of the secret   @o of the one before   @ou until when that may still save   @u user
--            @c created   @s used last   @a when it ends whatever happens   @i idle time   (milliseconds; Unix time)
--            @p whether its cookie outlives the browser, if that is not as usual
-- ARGV   1 digest of the secret; empty for our own code
-- Reply  {0} there is no such session   {1} the secret was replaced a moment ago   {2, {name, value, name, value...}}
-- O(size of the session). Repeatable.
--
-- The time to live is renewed only when a second of it, or a tenth, is gone: the requests of one page cost one write.
-- One command reads all, since each that a script calls takes as long as the rest of it.

local all = redis.call('HGETALL', KEYS[1])
local own, ends, idle
for place = 1, #all, 2 do
  local name = all[place]
  if name == '@k' then
    own = all[place + 1]
  elseif name == '@a' then
    ends = all[place + 1]
  elseif name == '@i' then
    idle = all[place + 1]
  end
  if own and ends and idle then
    break
  end
end
if not own then
  return {0}
end
local now = now_of()
if ARGV[1] ~= '' and own ~= ARGV[1] then
  local old, old_until = unpack(redis.call('HMGET', KEYS[1], '@o', '@ou'))
  return {worth(own, old, old_until, ARGV[1], now)}
end
idle = tonumber(idle)
local left = math.min(idle, ends - now)
if left <= 0 then
  redis.call('UNLINK', KEYS[1])
  return {0}
end
if left - redis.call('PTTL', KEYS[1]) >= math.min(1000, idle / 10) then
  redis.call('PEXPIRE', KEYS[1], left)
  redis.call('HSET', KEYS[1], '@s', string.format('%.0f', now))
end
return {2, all}
