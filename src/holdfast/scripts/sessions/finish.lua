-- End a session.
--
-- KEYS   1 the session, see load.lua
-- ARGV   1 the user whose it has to be; empty: whoever
-- Reply  {0} there is none, or it is another user's; {1, user} it is gone, whose it was, empty if nobody's
-- O(size of the session). Not marked as repeatable: a second execution says that there is none. It harms nothing.

local own, user = unpack(redis.call('HMGET', KEYS[1], '@k', '@u'))
if not own or (ARGV[1] ~= '' and ARGV[1] ~= user) then
  return {0}
end
redis.call('UNLINK', KEYS[1])
return {1, user or ''}
