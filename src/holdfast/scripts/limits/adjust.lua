-- Take back units of an earlier hit, or charge more for it, whatever the limit says.
--
-- KEYS   a bucket for each quota
-- ARGV   1 units: negative to give back
--        then for each bucket its algorithm, three constants of that, see there, and two instants in microseconds, or 0
--        if that is not known: when the hit was charged, and since when its units do not count fully any more
-- Reply  {1 done | 0 nothing can be taken back yet, now, and for each bucket: wait, remaining, reset}, as that of a hit
--        nothing yet: of a place in a queue that is given up, as long as it is not the last one
--        wait: of a hit that costs 1
-- O(buckets), and what their algorithms say; sliding_log: O(hits). Not repeatable: a second execution adjusts again.

local units = tonumber(ARGV[1])
local reply = {1, now}
for index = 1, #KEYS do
  local key, first = KEYS[index], 6 * index - 4
  local name, at, since = ARGV[first], tonumber(ARGV[first + 4]), tonumber(ARGV[first + 5])
  local x, y, z = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  if units ~= 0 then
    if adjusts[name](key, x, y, z, units, at, since) == false then
      reply[1] = 0
    end
  end
  local wait, _, a, b, c = algorithms[name][1](key, x, y, z, 1)
  local remaining, reset = algorithms[name][3](x, y, z, a, b, c)
  reply[3 * index], reply[3 * index + 1], reply[3 * index + 2] = wait, remaining, reset
end
return reply
