-- Raise the fencing token of a lock, where several servers have agreed on a greater one than this has minted.
--
-- KEYS   1 held: the member that holds it
--        2 fence: the last fencing token
-- ARGV   1 member
--        2 fencing token
-- Reply  1 the last fencing token is at least that one, 0 the lock is lost
-- O(1). Repeatable.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local fence = tonumber(ARGV[2])
if fence > (tonumber(redis.call('GET', KEYS[2])) or 0) then
  remember(KEYS[2], fence)
end
return 1
