-- Another window is not to be credited with what was consumed in an earlier one.

function adjusts.fixed_window(key, limit, period, _, units, at)
  local _, _, start, count = fixed_window_check(key, limit, period, nil, 0)
  if units > 0 or at == 0 or at >= start then
    count = math.max(0, count + units)
  elseif at > now then
    return false
  end
  return fixed_window_commit(key, limit, period, nil, 0, now, start, count)
end
