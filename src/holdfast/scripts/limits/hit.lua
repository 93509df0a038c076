-- Admit a hit under all quotas, or under none.
--
-- KEYS   a bucket for each quota
-- ARGV   1 'hit', or 'peek' to change nothing
--        2 units that the hit costs
--        3 for how many microseconds its caller is ready to wait; counts only where there is one bucket
--        then for each bucket its algorithm and three constants of that, see there
-- Reply  {1 admitted | 0 refused, when, and for each bucket: wait, remaining, reset}
--        when: the instant at which the hit is charged, in microseconds; later than now if its caller has to wait
--        wait: microseconds until this bucket alone admits it, -1 never
--        remaining: units that could be consumed now, after this hit if it was admitted
--        reset: microseconds until nothing counts any more
-- O(buckets), and what their algorithms say. Not repeatable: a second execution charges again.

local cost, patience = tonumber(ARGV[2]), tonumber(ARGV[3])
local writes = ARGV[1] == 'hit'

-- Charge one bucket, and return what is left. Of a refused hit nothing is charged, but a clock that has stepped back is
-- taken note of.
local function settle(key, algorithm, x, y, z, charged, at, back, a, b, c)
  if writes and (charged > 0 or back) then
    a, b, c = algorithm[2](key, x, y, z, charged, at, a, b, c)
  end
  return algorithm[3](x, y, z, a, b, c)
end

if #KEYS == 1 then -- most hits: without a table for each bucket
  local algorithm, x, y, z = algorithms[ARGV[4]], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  local wait, back, a, b, c = algorithm[1](KEYS[1], x, y, z, cost)
  if wait < 0 or wait > patience then
    return {0, now + wait, wait, settle(KEYS[1], algorithm, x, y, z, 0, now, back, a, b, c)}
  end
  return {1, now + wait, wait, settle(KEYS[1], algorithm, x, y, z, cost, now + wait, back, a, b, c)}
end

local buckets, longest, never = {}, 0, false
for index = 1, #KEYS do
  local first = 4 * index
  local algorithm = algorithms[ARGV[first]]
  local x, y, z = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local wait, back, a, b, c = algorithm[1](KEYS[index], x, y, z, cost)
  buckets[index] = {wait, algorithm, x, y, z, back, a, b, c}
  if wait > longest then
    longest = wait
  end
  never = never or wait < 0
end

-- Several buckets are not booked ahead: the one that is free sooner would be blocked for all that wait for it alone.
local charged = not never and longest == 0 and cost or 0
local reply = {not never and longest == 0 and 1 or 0, now + longest}
for index = 1, #KEYS do
  local wait, algorithm, x, y, z, back, a, b, c = unpack(buckets[index], 1, 9)
  local last = 3 * index
  reply[last] = wait
  reply[last + 1], reply[last + 2] = settle(KEYS[index], algorithm, x, y, z, charged, now, back, a, b, c)
end
return reply
