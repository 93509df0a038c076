-- Change how long a stored value is fresh, and how long it is kept.
--
-- KEYS   1 value
-- ARGV   1 time to live in milliseconds
--        2 instant until which it is fresh: 8 bytes, as the frame holds it
--        3 channel
-- Reply  1 changed, 0 if there is no such value
-- O(1). Repeatable.
--
-- SETRANGE creates a key that does not exist, one without a time to live; so PEXPIRE goes first and says whether there
-- is a value. It also lets this script work when the server's memory is full: SETRANGE alone would be refused then.
-- `gone` is published even without a value: other processes may hold a copy of it.

local found = redis.call('PEXPIRE', KEYS[1], ARGV[1])
if found == 1 then
  redis.call('SETRANGE', KEYS[1], 34, ARGV[2])
end
redis.call('PUBLISH', ARGV[3], 'gone')
return found
