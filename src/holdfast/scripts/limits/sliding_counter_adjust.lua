-- Units come back from the window in which they were consumed, if that still counts.

function adjusts.sliding_counter(key, limit, period, _, units, at)
  local _, _, start, previous, current = sliding_counter_check(key, limit, period, nil, 0)
  if units > 0 or at == 0 or at >= start then
    current = math.max(0, current + units)
  elseif at >= start - period then
    previous = math.max(0, previous + units)
  elseif at > now then
    return false
  end
  return sliding_counter_commit(key, limit, period, nil, 0, now, start, previous, current)
end
