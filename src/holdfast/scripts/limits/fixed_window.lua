-- A counter that starts again at 0: a window begins with the first unit after the end of the last one.
--
-- Constants  limit   units in a window
--            period  its length in microseconds
-- State      a string: '<at> <start> <count>'. A start in the future: that window is booked by those who wait, and the
--            one before it is full.
-- O(1)

local function fixed_window_check(key, limit, period, _, cost)
  local start, count, back = now, 0, false
  local stored = redis.call('GET', key)
  if stored then
    local at, began, counted = string.match(stored, '^(%d+) (%d+) (%d+)$')
    if at and began - now < FAR then
      local ahead = at - now
      back = ahead > 0
      began = back and began - ahead or tonumber(began)
      if now < began + period then
        start, count = began, tonumber(counted)
      end
    end
  end
  if cost > limit then
    return -1, back, start, count
  end
  local free = count + cost <= limit and start or start + period
  return free > now and free - now or 0, back, start, count
end

local function fixed_window_report(limit, period, _, start, count)
  if start > now then
    return 0, start - now + (count > 0 and period or 0)
  end
  return math.max(0, limit - count), count > 0 and start + period - now or 0
end

local function fixed_window_commit(key, limit, period, _, cost, at, start, count)
  if at >= start + period or (count == 0 and cost > 0) then
    start, count = at, 0
  end
  count = count + cost
  local _, left = fixed_window_report(limit, period, nil, start, count)
  if left > 0 then
    redis.call('SET', key, string.format('%.0f %.0f %.0f', now, start, count), 'PX', lifetime(left))
  else
    redis.call('DEL', key)
  end
  return start, count
end

algorithms.fixed_window = {fixed_window_check, fixed_window_commit, fixed_window_report}
