-- Grant the lease of a name to one caller, and tell the others whom to wait for.
--
-- KEYS   1 lease
--        2 what a load leaves behind: the value, or the result that waits under a token; may be absent
-- ARGV   1 nonce: 16 characters, new for every send
--        2 lease in milliseconds
--        3 id of the value that the caller has seen and cannot use, '' if none
--        4 the nonce of a lease under which nothing runs any more: it is taken over; '*' takes the lease from whoever
--          holds it; '' replaces nothing
-- Reply  {0, value}                 somebody has filled since the caller looked
--        {1, token}                 granted: load, then fill with this token
--        {2, token, milliseconds}   another caller loads: its token, and how long its lease still lasts
-- O(1), and the length of the value when it is returned. Not repeatable: a second execution waits for the first.
--
-- The value is looked at again before a lease is granted, or a caller that has dawdled would load once more what
-- another has just stored. The token is minted here, out of the nonce and the time: when a copy of this very command
-- executes late, after an invalidation, it must not restore the lease that the invalidation has revoked.

local left = KEYS[2] and redis.call('GET', KEYS[2])
if left and string.sub(left, 3, 34) ~= ARGV[3] then
  return {0, left}
end
local holder = redis.call('GET', KEYS[1])
if holder and ARGV[4] ~= '*' and string.sub(holder, 1, 16) ~= ARGV[4] then
  return {2, holder, redis.call('PTTL', KEYS[1])}
end
local time = redis.call('TIME')
local token = ARGV[1] .. string.format('%010d%06d', time[1], time[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return {1, token}
