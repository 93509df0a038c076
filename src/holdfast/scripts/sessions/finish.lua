-- End a session.
--
-- KEYS   1 the session, see load.lua
-- ARGV   1 digest of the secret by which it was loaded; empty for our own code
--        2 the user whose it has to be; empty: whoever
-- Reply  {0} there is none, the secret is worth nothing, or it is another user's; {1, user} it is gone, whose it was, empty if nobody's
-- O(size of the session). Not marked as repeatable: a second execution says that there is none. It harms nothing.

local own, old, old_until, user = unpack(redis.call('HMGET', KEYS[1], '@k', '@o', '@ou', '@u'))
if worth(own, old, old_until, ARGV[1], now_of()) == 0 or (ARGV[2] ~= '' and ARGV[2] ~= user) then
  return {0}
end
redis.call('UNLINK', KEYS[1])
return {1, user or ''}
