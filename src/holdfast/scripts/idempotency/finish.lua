-- Say what came of it, unless somebody else has begun it since; tell all who wait.
--
-- KEYS   1 record: a hash, see record
-- ARGV   1 token
--        2 fingerprint of what was asked for
--        3 result; '' if none is kept
--        4 milliseconds for which to keep it
--        5 channel
-- Reply  1 stored, 0 refused: another has begun it, or ended it
-- O(1). Repeatable: a second execution changes nothing.
--
-- Where the record is gone, nobody is at it: it was evicted, lost by a server that failed, or freed by somebody who
-- failed later. That it is done is true all the same, and keeps the next one from doing it again.

local record = redis.call('HMGET', KEYS[1], 'token', 'result')
if record[1] and record[1] ~= ARGV[1] then
  return 0
end
if not record[2] then
  redis.call('HSET', KEYS[1], 'token', ARGV[1], 'print', ARGV[2], 'result', ARGV[3])
  redis.call('HDEL', KEYS[1], 'until', 'fence')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PUBLISH', ARGV[5], '')
end
return 1
