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
for index, key in ipairs(KEYS) do
  local first = 4 * index - 1
  local algorithm = algorithms[ARGV[first]]
  local state = algorithm.read(key, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3])
  if units ~= 0 then
    algorithm.adjust(state, units, at)
    algorithm.write(key, state)
  end
  reply[3 * index] = algorithm.wait(state, 1)
  reply[3 * index + 1] = algorithm.remaining(state)
  reply[3 * index + 2] = algorithm.reset(state)
end
return reply
