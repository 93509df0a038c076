-- Say what is known of a session, without its data and without keeping it any longer.
--
-- KEYS   1 the session, see load.lua
-- Reply  {user, created, used last, when it ends whatever happens}; nothing if it has ended
-- O(1). Repeatable.

local known = redis.call('HMGET', KEYS[1], '@u', '@c', '@s', '@a')
if not known[2] then
  return nil
end
return {known[1] or '', known[2], known[3] or known[2], known[4]}
