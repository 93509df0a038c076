-- Take a lock that is free, or renew it if it is held by the same member.
--
-- KEYS   1 held: the member that holds it
--        2 fence: the last fencing token
-- ARGV   1 member: new for each acquisition, the same when the call is sent again
--        2 lease in milliseconds
-- Reply  {1, fencing token}   taken
--        {0, milliseconds}    another holds it, for so long if it does not renew
-- O(1). Repeatable: a second execution renews the first, with the same fencing token.
--
-- What another program stored there without an expiry is looked at again and again: nobody will tell when it goes.

local holder = redis.call('GET', KEYS[1])
if not holder then
  local time = redis.call('TIME')
  local fence = mint(KEYS[2], time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1, fence}
end
if holder ~= ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  return {0, left == -1 and 1000 or math.max(left, 1)}
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local fence = tonumber(redis.call('GET', KEYS[2]))
if not fence then
  local time = redis.call('TIME')
  fence = mint(KEYS[2], time[1] * 1000000 + time[2])
end
return {1, fence}
