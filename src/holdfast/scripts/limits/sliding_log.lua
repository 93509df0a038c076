-- The instant of every hit: exact, at the price of about a dozen bytes for each hit of a period.
--
-- Constants  limit   units
--            period  in microseconds; what was consumed at t counts until just before t + period
-- State      a list: at, units in all, then for each hit its instant and its units, oldest first. Instants in the
--            future: booked by those who wait.
-- O(1) where nothing has run out; else O(hits that have), each once. To be refused: O(hits that must run out first).

local sliding_log = {}
local HEAD = 2
local CHUNK = 128 -- even: an instant and its units stay together

-- Walk over the hits, oldest first, until `visit(instant, units)` says that it has seen enough.
local function walk(key, from, visit)
  local index = HEAD + from
  repeat
    local part = redis.call('LRANGE', key, index, index + CHUNK - 1)
    for each = 1, #part, 2 do
      if visit(tonumber(part[each]), tonumber(part[each + 1])) then
        return
      end
    end
    index = index + CHUNK
  until #part < CHUNK
end

-- The clock has stepped back, to another server's perhaps: move what it has seen along.
local function shift(key, back)
  local all = redis.call('LRANGE', key, HEAD, -1)
  for each = 1, #all, 2 do
    redis.call('LSET', key, HEAD + each - 1, string.format('%.0f', all[each] - back))
  end
end

function sliding_log.read(key, limit, period)
  local state = {key = key, limit = tonumber(limit), period = tonumber(period), total = 0, gone = 0, last = 0}
  local head = redis.call('LRANGE', key, 0, 2)
  if #head < 3 then
    return state
  end
  state.total = tonumber(head[2])
  if now < tonumber(head[1]) then
    shift(key, head[1] - now)
    redis.call('LSET', key, 0, string.format('%.0f', now))
    head = redis.call('LRANGE', key, 0, 2)
  end
  if tonumber(head[3]) <= now - state.period then
    walk(key, 0, function(instant, units)
      if instant > now - state.period then
        return true
      end
      state.gone, state.total = state.gone + 2, state.total - units
    end)
  end
  state.last = tonumber(redis.call('LINDEX', key, -2))
  return state
end

function sliding_log.wait(state, cost)
  if cost > state.limit then
    return -1
  end
  local wait = math.max(0, state.last - now)
  local excess = state.total + cost - state.limit
  if excess > 0 then
    walk(state.key, state.gone, function(instant, units)
      wait, excess = math.max(wait, instant + state.period - now), excess - units
      return excess <= 0
    end)
  end
  return wait
end

function sliding_log.charge(state, cost, at)
  if cost > 0 then
    state.total, state.last = state.total + cost, at
    state.new = {string.format('%.0f', at), string.format('%.0f', cost)}
  end
end

-- Change the units of one hit; of the oldest ones where it is not known which, so that the others count for longer.
function sliding_log.adjust(state, units, at)
  if units > 0 and at == 0 then
    sliding_log.charge(state, units, math.max(now, state.last))
    return
  end
  local index, change = HEAD + state.gone, {}
  walk(state.key, state.gone, function(instant, held)
    if at == 0 or instant == at then
      local new = math.max(0, held + units)
      change[#change + 1] = {index + 1, new}
      state.total, units = state.total - held + new, units - (new - held)
    end
    index = index + 2
    return units == 0 or (at > 0 and instant >= at)
  end)
  state.changes = change
end

function sliding_log.write(key, state)
  if state.total <= 0 then
    redis.call('DEL', key)
    return
  end
  for _, change in ipairs(state.changes or {}) do
    redis.call('LSET', key, change[1], string.format('%.0f', change[2]))
  end
  if state.gone > 0 then
    redis.call('LTRIM', key, HEAD + state.gone, -1)
  end
  local at, total = string.format('%.0f', now), string.format('%.0f', state.total)
  if state.gone > 0 or redis.call('EXISTS', key) == 0 then
    redis.call('LPUSH', key, total, at)
  else
    redis.call('LSET', key, 0, at)
    redis.call('LSET', key, 1, total)
  end
  if state.new then
    redis.call('RPUSH', key, state.new[1], state.new[2])
  end
  redis.call('PEXPIRE', key, lifetime(state.last + state.period - now))
end

function sliding_log.remaining(state)
  return math.max(0, state.limit - state.total)
end

function sliding_log.reset(state)
  return state.total > 0 and state.last + state.period - now or 0
end

algorithms.sliding_log = sliding_log
