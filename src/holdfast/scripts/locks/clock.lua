-- The time: the server's, in whole microseconds, exact in Lua's numbers until 2255, and in whole milliseconds.

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = time[1] * 1000 + math.floor(time[2] / 1000)
