-- Forget what was begun and came to nothing, so that it may be begun anew; tell all who wait.
--
-- KEYS   1 record: a hash, see record
-- ARGV   1 token
--        2 channel
-- Reply  1 freed, 0 it is another's, done, or not known
-- O(1). Not repeatable: a second execution says that it is not known. It harms nothing.

local record = redis.call('HMGET', KEYS[1], 'token', 'result')
if record[1] ~= ARGV[1] or record[2] then
  return 0
end
redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[2], '')
return 1
