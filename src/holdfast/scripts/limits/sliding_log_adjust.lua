-- The units of the hits of one instant change; of the oldest ones where it is not known which, so that the others count
-- for longer. What is charged to a hit that is not in the log, as it cost nothing until now, counts from now.

function adjusts.sliding_log(key, limit, period, _, units, at)
  local _, _, total, gone, last = sliding_log_check(key, limit, period, nil, 0)
  local index = HEAD + gone
  walk(key, gone, function(instant, held)
    if (at > 0 and instant > at) or (at == 0 and units > 0) then
      return true
    end
    if at == 0 or instant == at then
      local new = math.max(0, held + units)
      redis.call('LSET', key, index + 1, string.format('%.0f', new))
      total, units = total - held + new, units - (new - held)
    end
    index = index + 2
    return units == 0
  end)
  if units > 0 and (at == 0 or at > now - period) then
    return sliding_log_commit(key, limit, period, nil, units, math.max(now, last), total, gone, last)
  end
  while total > 0 and redis.call('LINDEX', key, -1) == '0' do -- nobody has to come after who has cancelled
    redis.call('LTRIM', key, 0, -3)
    last = tonumber(redis.call('LINDEX', key, -2))
  end
  return sliding_log_commit(key, limit, period, nil, 0, now, total, gone, last)
end
