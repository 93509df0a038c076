-- Two counters: of the window that is under way and of the one before it, which counts less and less.
--
-- Counted is  current + previous * (what is left of the window under way) / period,  as if the units of the previous
-- window had been spread evenly over it.
--
-- Constants  limit   units
--            period  length of a window in microseconds
-- State      a string: '<at> <start> <previous> <current>'. A start in the future: booked by those who wait.
-- O(1)

local sliding_counter = {}

local function roll(state, to)
  local windows = math.floor((to - state.start) / state.period)
  if windows == 1 then
    state.start, state.previous, state.current = state.start + state.period, state.current, 0
  elseif windows > 1 then
    state.start, state.previous, state.current = to, 0, 0
  end
end

-- How long after its start a window has room beside the previous one, whose units fade.
local function fading(previous, room, period)
  if previous <= room then
    return 0
  end
  return math.max(0, period - math.floor(room * period / previous))
end

function sliding_counter.read(key, limit, period)
  local state = {limit = tonumber(limit), period = tonumber(period), start = now, previous = 0, current = 0}
  local stored = redis.call('GET', key) or ''
  local at, start, previous, current = string.match(stored, '^(%d+) (%d+) (%d+) (%d+)$')
  if at then
    local back = math.max(0, at - now)
    state.back = back > 0
    state.start, state.previous, state.current = start - back, tonumber(previous), tonumber(current)
    roll(state, now)
  end
  return state
end

function sliding_counter.wait(state, cost)
  if cost > state.limit then
    return -1
  end
  local room = state.limit - cost - state.current
  if room >= 0 then
    return math.max(0, state.start - now + fading(state.previous, room, state.period))
  end
  return state.start - now + state.period + fading(state.current, state.limit - cost, state.period)
end

function sliding_counter.charge(state, cost, at)
  if state.previous == 0 and state.current == 0 then
    state.start = at
  end
  roll(state, at)
  state.current = state.current + cost
end

function sliding_counter.adjust(state, units, at)
  if units > 0 or at == 0 or at >= state.start then
    state.current = math.max(0, state.current + units)
  elseif at >= state.start - state.period then
    state.previous = math.max(0, state.previous + units)
  end
end

function sliding_counter.write(key, state)
  local left = sliding_counter.reset(state)
  if left <= 0 then
    redis.call('DEL', key)
    return
  end
  local value = string.format('%.0f %.0f %.0f %.0f', now, state.start, state.previous, state.current)
  redis.call('SET', key, value, 'PX', lifetime(left))
end

function sliding_counter.remaining(state)
  if state.start > now then
    return 0
  end
  local fading_now = state.previous * (state.start + state.period - now) / state.period
  return math.max(0, state.limit - state.current - math.ceil(fading_now))
end

function sliding_counter.reset(state)
  if state.current > 0 then
    return state.start + 2 * state.period - now
  end
  return state.previous > 0 and state.start + state.period - now or 0
end

algorithms.sliding_counter = sliding_counter
