-- Say what is known of a session, without its data and without keeping it any longer.
--
-- KEYS   1 the session, see load.lua
-- Reply  {user, created, when it ends whatever happens, idle time, milliseconds that it has left, now}; nothing if it has
--        ended
-- O(1). Repeatable.

local user, created, ends, idle = unpack(redis.call('HMGET', KEYS[1], '@u', '@c', '@a', '@i'))
if not created then
  return nil
end
return {user or '', created, ends, idle, redis.call('PTTL', KEYS[1]), now_of()}
