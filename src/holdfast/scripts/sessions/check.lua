-- Say what a secret is worth to a session: 2 it is the session's own, 1 it was until a moment ago, 0 it is nothing.
-- An empty secret is that of our own code, which knows the session by its handle.

local function now_of()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function worth(own, old, old_until, secret, now)
  if not own then
    return 0
  end
  if secret == '' or own == secret then
    return 2
  end
  if old == secret and now < tonumber(old_until) then
    return 1
  end
  return 0
end
