-- Renew the lease of what was begun, also one that has run out, if nobody else has begun since.
--
-- KEYS   1 record: a hash, see record
-- ARGV   1 token
--        2 lease in milliseconds
-- Reply  1 kept, 0 it is another's, done, or forgotten
-- O(1). Repeatable.

local record = redis.call('HMGET', KEYS[1], 'token', 'result')
if record[1] ~= ARGV[1] or record[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2] + AFTER)
return 1
