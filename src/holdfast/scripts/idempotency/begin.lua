-- Begin what is to be done once, unless it is done, somebody is at it, or its key stands for something else.
--
-- KEYS   1 record: a hash, see record
-- ARGV   1 token: new for each run, the same when the call is sent again
--        2 fingerprint of what is asked for
--        3 lease in milliseconds
-- Reply  {1, fencing token}   begun; whoever began before has neither ended nor renewed its lease
--        {0, milliseconds}    somebody else is at it, for so long if it does not renew
--        {2, result}          it is done, with this result; '' if none was kept
--        {3}                  the key stands for something with another fingerprint
-- O(1). Repeatable: a second execution renews the first, with the same fencing token.

local record = redis.call('HMGET', KEYS[1], 'token', 'until', 'fence', 'print', 'result')
if record[5] then
  if record[4] ~= ARGV[2] then
    return {3}
  end
  return {2, record[5]}
end
local fence = tonumber(record[3]) or 0
if record[1] ~= ARGV[1] then
  local left = (tonumber(record[2]) or 0) - now
  if record[1] and left > 0 then
    if record[4] ~= ARGV[2] then
      return {3}
    end
    return {0, left}
  end
  fence = math.max(fence + 1, micros)
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'until', string.format('%.0f', now + ARGV[3]), 'fence',
  string.format('%.0f', fence), 'print', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3] + AFTER)
return {1, fence}
