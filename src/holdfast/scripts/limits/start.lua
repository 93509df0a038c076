-- What the algorithms below stand on. Time is the server's, in whole microseconds: exact in Lua's numbers until 2255.
--
-- An algorithm is three functions, in this order. Its three constants are the numbers x, y and z, its state is what
-- follows them:
--
--   check(key, x, y, z, cost)                 what the bucket says of a hit, and its state
--     returns wait, back, state...            wait: microseconds until a hit of this cost is admitted, -1 never
--                                             back: whether the clock is behind what the state was written at
--   commit(key, x, y, z, cost, at, state...)  charge a hit at an instant, now or later, and store the state
--     returns state...
--   report(x, y, z, state...)                 what is left
--     returns remaining, reset
--
-- They hand their state around as values, without tables and closures: that is half of the time of a hit.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local algorithms = {}
local FAR = 2 ^ 52 -- microseconds: 142 years. What is farther away is not ours.

-- Return microseconds as the milliseconds after which a key may go.
local function lifetime(microseconds)
  return math.ceil(microseconds / 1000) + 1
end
