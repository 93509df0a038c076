-- What the algorithms below stand on. Time is the server's, in whole microseconds: exact in Lua's numbers until 2255.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local algorithms = {}

-- Return microseconds as the milliseconds after which a key may go.
local function lifetime(microseconds)
  return string.format('%.0f', math.ceil(microseconds / 1000) + 1)
end
