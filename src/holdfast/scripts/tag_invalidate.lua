-- Give a tag new versions: whatever was stored under the old ones is stale (soft) or gone (hard).
--
-- KEYS   1 tag
-- ARGV   1 nonce: 16 characters, new for every send
--        2 the least time to live in milliseconds
--        3 '1' soft: the hard version stays, if the tag exists; '0' hard: both change
--        4 channel, '' to publish nothing
-- Reply  the new `<hard>.<soft>`, 65 characters
-- O(1), however many entries bear the tag. Not repeatable: executed late, it would invalidate what was stored meanwhile.
--
-- Versions are minted here, out of the nonce and the time, and never counted: a count that starts again after the tag
-- was lost would revive old entries. `gone` is published last: whoever it wakes must not read the old versions again.

local time = redis.call('TIME')
local fresh = ARGV[1] .. string.format('%010d%06d', time[1], time[2])
local hard = fresh
if ARGV[3] == '1' then
  local old = redis.call('GET', KEYS[1])
  hard = old and string.sub(old, 1, 32) or fresh
end
local versions = hard .. '.' .. fresh
redis.call('SET', KEYS[1], versions, 'PX', math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[2])))
if ARGV[4] ~= '' then
  redis.call('PUBLISH', ARGV[4], 'gone')
end
return versions
