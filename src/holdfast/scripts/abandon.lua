-- Give a lease back without a result: the loader failed, or nobody wants the value any more.
--
-- KEYS   1 where the result would have been stored
--        2 lease
-- ARGV   1 token; or its first 16 characters, the nonce, when the reply that named the token never came
--        2 instant before which no refresh is tried: 8 bytes, as the frame holds it; '' if that is of no interest
--        3 channel
-- Reply  {held, value}   held: 1 if the lease was the caller's, else 0
--                        value: what is stored, as it was before the instant was written; nil without an instant
-- O(1), and the length of the value when it is returned. Repeatable.
--
-- It deletes only the caller's own lease: after a pause the lease may be another caller's. `failed <token>` is published
-- after that, so that whoever it wakes can acquire. The instant throttles a loader that fails, and only the holder may
-- set it: another caller may be loading with success. The lease goes first for one more reason: a server whose memory
-- is full refuses SETRANGE, unless the script has already written something.

local holder = redis.call('GET', KEYS[2])
local held = 0
if holder and (holder == ARGV[1] or string.sub(holder, 1, 16) == ARGV[1]) then
  held = 1
  redis.call('UNLINK', KEYS[2])
  redis.call('PUBLISH', ARGV[3], 'failed ' .. holder)
end
if ARGV[2] == '' then
  return {held, false}
end
local value = redis.call('GET', KEYS[1])
if value and held == 1 then
  redis.call('SETRANGE', KEYS[1], 42, ARGV[2])
end
return {held, value}
