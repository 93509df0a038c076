-- Two counters: of the window that is under way and of the one before it, which counts less and less.
--
-- Counted is  current + previous * (what is left of the window under way) / period,  as if the units of the previous
-- window had been spread evenly over it.
--
-- Constants  limit   units
--            period  length of a window in microseconds
-- State      a string: '<at> <start> <previous> <current>'. A start in the future: booked by those who wait.
-- O(1)

-- Move on to the window in which an instant lies.
local function roll(period, to, start, previous, current)
  local windows = math.floor((to - start) / period)
  if windows < 1 then
    return start, previous, current
  end
  if windows == 1 and current > 0 then
    return start + period, current, 0
  end
  return to, 0, 0
end

-- How long after its start a window has room beside the previous one, whose units fade: the period without its part
-- room / previous, worked out in two steps, as Lua would round a product of large periods.
local function fading(previous, room, period)
  if previous <= room then
    return 0
  end
  local rest = period % previous
  return math.max(0, period - room * ((period - rest) / previous) - math.floor(room * rest / previous))
end

local function sliding_counter_check(key, limit, period, _, cost)
  local start, previous, current, back = now, 0, 0, false
  local stored = redis.call('GET', key)
  if stored then
    local at, began, before, counted = string.match(stored, '^(%d+) (%d+) (%d+) (%d+)$')
    if at and began - now < FAR then
      local ahead = at - now
      back = ahead > 0
      began = back and began - ahead or tonumber(began)
      start, previous, current = roll(period, now, began, tonumber(before), tonumber(counted))
    end
  end
  if cost > limit then
    return -1, back, start, previous, current
  end
  local wait = start - now
  local room = limit - cost - current
  if room >= 0 then
    wait = wait + fading(previous, room, period)
  else
    wait = wait + period + fading(current, limit - cost, period)
  end
  return wait > 0 and wait or 0, back, start, previous, current
end

local function sliding_counter_report(limit, period, _, start, previous, current)
  local reset = 0
  if current > 0 then
    reset = start + 2 * period - now
  elseif previous > 0 then
    reset = start + period - now
  elseif start > now then
    reset = start - now
  end
  if start > now then
    return 0, reset
  end
  local faded = math.ceil(previous * (start + period - now) / period - 0.01)
  if fading(previous, faded, period) > now - start then
    faded = faded + 1
  end
  return math.max(0, limit - current - faded), reset
end

local function sliding_counter_commit(key, limit, period, _, cost, at, start, previous, current)
  if previous == 0 and current == 0 and cost > 0 then
    start = at
  end
  start, previous, current = roll(period, at, start, previous, current)
  current = current + cost
  local _, left = sliding_counter_report(limit, period, nil, start, previous, current)
  if left > 0 then
    local state = string.format('%.0f %.0f %.0f %.0f', now, start, previous, current)
    redis.call('SET', key, state, 'PX', lifetime(left))
  else
    redis.call('DEL', key)
  end
  return start, previous, current
end

algorithms.sliding_counter = {sliding_counter_check, sliding_counter_commit, sliding_counter_report}
