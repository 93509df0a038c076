-- Remove a value, and revoke the lease of whoever is loading it.
--
-- KEYS   1 value
--        2 lease
-- ARGV   1 channel
-- Reply  how many values were removed, 0 or 1; a lease does not count
-- O(1). Repeatable: a second execution removes nothing more, though it may count less.
--
-- Value and lease go together: a load that runs now may have read the source before the change, and its fill must be
-- refused. `gone` is published after that: a reader that it wakes must not find the old value again.

local removed = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[1], 'gone')
return removed
