-- Store what was loaded under a lease, and give the lease back.
--
-- KEYS   1 where to store: the value, or the result that waits under a token
--        2 lease
--        3 a part of the value that has a key of its own; may be absent
-- ARGV   1 token of the lease
--        2 frame; its id is the token
--        3 time to live in milliseconds
--        4 channel
--        5 that part, if it has a key
-- Reply  1 stored, and `done <token>` was published; or the same fill was executed before
--        0 lost: the lease has expired, was revoked, or is another caller's; nothing was stored
-- O(length of the frame). Repeatable.
--
-- A lease that is merely missing is a refusal too: an invalidation may have revoked it, and then the frame is older than
-- the invalidation. The message comes last, so that whoever it wakes finds the value. A second execution finds no lease
-- any more; it recognises its own work by the id, and must answer as the first did.

if redis.call('GET', KEYS[2]) == ARGV[1] then
  if KEYS[3] then
    redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[3])
  end
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('UNLINK', KEYS[2])
  redis.call('PUBLISH', ARGV[4], 'done ' .. ARGV[1])
  return 1
end
if redis.call('GETRANGE', KEYS[1], 2, 33) == ARGV[1] then
  return 1
end
return 0
