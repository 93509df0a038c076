-- What several may hold at once: the permits of a semaphore, or readers; a writer holds it alone. A lease that has run
-- out holds nothing.
--
-- KEYS   1 held: a sorted set of members, scored with the instant in milliseconds at which their lease runs out
--
-- A writer's member begins with "w:". The key lives a moment longer than the last lease.

local function is_writer(member)
  return string.sub(member, 1, 2) == 'w:'
end

local function drop_expired()
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
end

-- Give a member a lease from now on.
local function hold(member, milliseconds)
  redis.call('ZADD', KEYS[1], now + milliseconds, member)
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', KEYS[1], last[2] - now + 1)
end

-- Return the milliseconds until there is room if nobody leaves or renews, 0 if there is now. Capacity 0 has no end.
local function room_in(exclusive, capacity)
  local count = redis.call('ZCARD', KEYS[1])
  if count == 0 then
    return 0
  end
  local index = count - 1
  if not exclusive then
    if is_writer(redis.call('ZRANGE', KEYS[1], 0, 0)[1]) then
      index = 0
    elseif capacity == 0 or count < capacity then
      return 0
    else
      index = count - capacity
    end
  end
  local lease = redis.call('ZRANGE', KEYS[1], index, index, 'WITHSCORES')
  return lease[2] - now
end
