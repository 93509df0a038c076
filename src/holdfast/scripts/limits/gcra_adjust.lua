-- Units count fully as long as something else is left in the bucket to drain, then they drain themselves; what has
-- drained cannot be taken back, too. Of one that is booked ahead nothing comes
-- back while others are booked behind it: they cannot come earlier, so that newcomers would come beside them. It is the
-- last one if nothing but itself is left at its instant, or if the bucket is just full then.

function adjusts.gcra(key, capacity, fill, drain, units, at, since)
  local _, _, level = gcra_check(key, capacity, fill, drain, 0)
  local raised = units * fill
  if units < 0 and at > now then
    local left = level - (at - now) * drain
    if left > -raised and (left > capacity or left <= capacity - drain) then
      return false
    end
  elseif units < 0 and at > 0 then
    raised = math.min(0, raised + math.max(0, now - since) * drain)
  end
  return gcra_commit(key, capacity, fill, drain, 0, now, math.max(0, level + raised))
end
