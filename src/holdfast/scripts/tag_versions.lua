-- Return the two versions of a tag, and create them if there are none.
--
-- KEYS   1 tag
-- ARGV   1 nonce: 16 characters, new for every send
--        2 the least time to live in milliseconds
-- Reply  `<hard>.<soft>`, 65 characters
-- O(1). Not repeatable: a second execution may find that the first one's versions are gone, and then creates others.
--
-- Versions are minted here, out of the nonce and the time: one that came back after the tag was lost would revive the
-- entries that were stored under it. A tag lives at least as long as an entry that is stored now can live; it is never
-- shortened, as older entries may live longer. It is given twice that time, so that this has to be done seldom: whoever
-- tracks the key is told of every change, even of its time to live.

local versions = redis.call('GET', KEYS[1])
if not versions then
  local time = redis.call('TIME')
  local fresh = ARGV[1] .. string.format('%010d%06d', time[1], time[2])
  versions = fresh .. '.' .. fresh
  redis.call('SET', KEYS[1], versions, 'PX', 2 * ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
end
return versions
