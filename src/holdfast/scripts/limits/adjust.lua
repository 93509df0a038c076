-- Take back units of an earlier hit, or charge more for it, whatever the limit says.
--
-- KEYS   a bucket for each quota
-- ARGV   1 units: negative to give back
--        2 when the hit was charged, in microseconds; 0 if that is not known: now
--        then for each bucket its algorithm and three constants of that, see there
-- Reply  {1, now, and for each bucket: wait for a hit that costs 1, remaining, reset}, as that of a hit
-- O(buckets), and what their algorithms say; sliding_log: O(hits). Not repeatable: a second execution adjusts again.

local units, at = tonumber(ARGV[1]), tonumber(ARGV[2])
local reply = {1, now}
for index = 1, #KEYS do
  local key, name = KEYS[index], ARGV[4 * index - 1]
  local x, y, z = tonumber(ARGV[4 * index]), tonumber(ARGV[4 * index + 1]), tonumber(ARGV[4 * index + 2])
  if units ~= 0 then
    adjusts[name](key, x, y, z, units, at)
  end
  local wait, _, a, b, c = algorithms[name][1](key, x, y, z, 1)
  local remaining, reset = algorithms[name][3](x, y, z, a, b, c)
  reply[3 * index], reply[3 * index + 1], reply[3 * index + 2] = wait, remaining, reset
end
return reply
