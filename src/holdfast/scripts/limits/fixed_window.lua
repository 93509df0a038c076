-- A counter that starts again at 0: a window begins with the first unit after the end of the last one.
--
-- Constants  limit   units in a window
--            period  its length in microseconds
-- State      a string: '<at> <start> <count>'. A start in the future: that window is booked by those who wait.
-- O(1)

local fixed_window = {}

function fixed_window.read(key, limit, period)
  local state = {limit = tonumber(limit), period = tonumber(period), start = now, count = 0}
  local at, start, count = string.match(redis.call('GET', key) or '', '^(%d+) (%d+) (%d+)$')
  if at then
    local back = math.max(0, at - now)
    state.back = back > 0
    start = start - back
    if now < start + state.period then
      state.start, state.count = start, tonumber(count)
    end
  end
  return state
end

function fixed_window.wait(state, cost)
  if cost > state.limit then
    return -1
  end
  if state.count + cost <= state.limit then
    return math.max(0, state.start - now)
  end
  return state.start + state.period - now
end

function fixed_window.charge(state, cost, at)
  if at >= state.start + state.period or state.count == 0 then
    state.start, state.count = at, 0
  end
  state.count = state.count + cost
end

-- Another window is not to be credited with what was consumed in an earlier one.
function fixed_window.adjust(state, units, at)
  if units > 0 or at == 0 or at >= state.start then
    state.count = math.max(0, state.count + units)
  end
end

function fixed_window.write(key, state)
  local left = fixed_window.reset(state)
  if left <= 0 then
    redis.call('DEL', key)
    return
  end
  local value = string.format('%.0f %.0f %.0f', now, state.start, state.count)
  redis.call('SET', key, value, 'PX', lifetime(left))
end

function fixed_window.remaining(state)
  return state.start > now and 0 or math.max(0, state.limit - state.count)
end

function fixed_window.reset(state)
  -- A window that was booked and given back still says that the one before it is full.
  return state.count > 0 and state.start + state.period - now or state.start - now
end

algorithms.fixed_window = fixed_window
