-- Admit a hit under all quotas, or under none.
--
-- KEYS   a bucket for each quota
-- ARGV   1 'hit', or 'peek' to change nothing
--        2 units that the hit costs
--        3 for how many microseconds its caller is ready to wait
--        then for each bucket its algorithm and three constants of that, see there
-- Reply  {1 admitted | 0 refused, when, and for each bucket: wait, remaining, reset}
--        when: the instant at which the hit is charged, in microseconds; later than now if its caller has to wait
--        wait: microseconds until this bucket alone admits it, -1 never
--        remaining: units that could be consumed now, after this hit if it was admitted
--        reset: microseconds until nothing counts any more
-- O(buckets), and what their algorithms say. Not repeatable: a second execution charges again.

local cost, patience = tonumber(ARGV[2]), tonumber(ARGV[3])
local buckets, waits, longest, never = {}, {}, 0, false
for index, key in ipairs(KEYS) do
  local first = 4 * index
  local algorithm = algorithms[ARGV[first]]
  local state = algorithm.read(key, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3])
  local wait = algorithm.wait(state, cost)
  buckets[index], waits[index] = {algorithm, state}, wait
  longest, never = math.max(longest, wait), never or wait < 0
end

local hit = ARGV[1] == 'hit'
local admitted = not never and longest <= patience
local reply = {admitted and 1 or 0, now + longest}
for index, key in ipairs(KEYS) do
  local algorithm, state = buckets[index][1], buckets[index][2]
  if hit and admitted and cost > 0 then
    algorithm.charge(state, cost, now + longest)
    algorithm.write(key, state)
  elseif hit and state.back then
    algorithm.write(key, state) -- nothing is consumed, but a clock that has stepped back is taken note of
  end
  reply[3 * index] = waits[index]
  reply[3 * index + 1] = algorithm.remaining(state)
  reply[3 * index + 2] = algorithm.reset(state)
end
return reply
