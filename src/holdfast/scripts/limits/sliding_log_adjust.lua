-- The units of one hit change; of the oldest ones where it is not known which, so that the others count for longer.

function adjusts.sliding_log(key, limit, period, _, units, at)
  local _, _, total, gone, last = sliding_log_check(key, limit, period, nil, 0)
  if units > 0 and at == 0 then
    return sliding_log_commit(key, limit, period, nil, units, math.max(now, last), total, gone, last)
  end
  local index = HEAD + gone
  walk(key, gone, function(instant, held)
    if at == 0 or instant == at then
      local new = math.max(0, held + units)
      redis.call('LSET', key, index + 1, string.format('%.0f', new))
      total, units = total - held + new, units - (new - held)
    end
    index = index + 2
    return units == 0 or (at > 0 and instant >= at)
  end)
  return sliding_log_commit(key, limit, period, nil, 0, now, total, gone, last)
end
