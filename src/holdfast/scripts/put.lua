-- Store a value that was not loaded under a lease, and revoke the lease of whoever is loading.
--
-- KEYS   1 value
--        2 lease
-- ARGV   1 frame
--        2 time to live in milliseconds
--        3 channel
-- Reply  1
-- O(length of the frame). Not repeatable: executed late, it would bring back a value that was invalidated meanwhile.
--
-- The lease is revoked, or a load that has read the source before would overwrite the newer value. `gone` is published
-- last: a reader that it wakes finds the new value.

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('UNLINK', KEYS[2])
redis.call('PUBLISH', ARGV[3], 'gone')
return 1
