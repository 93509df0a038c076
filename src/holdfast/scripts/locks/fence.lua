-- Fencing tokens. Each is greater than all before it under the same key: the last one is stored for an hour after it
-- was minted, and where it is gone the clock, in microseconds, has gone on farther than any number of locks could.

-- Store a fencing token as the last one.
local function remember(key, fence)
  redis.call('SET', key, string.format('%.0f', fence), 'PX', 3600000)
  return fence
end

-- Return the next fencing token, at an instant in microseconds.
local function mint(key, instant)
  local last = tonumber(redis.call('GET', key)) or 0
  return remember(key, math.max(last + 1, instant))
end
