-- What a hit has raised and what has drained since cannot both be taken back.

function adjusts.gcra(key, capacity, fill, drain, units, at)
  local _, _, level = gcra_check(key, capacity, fill, drain, 0)
  local raised = units * fill
  if units < 0 and at > 0 then
    raised = math.min(0, raised + math.max(0, now - at) * drain)
  end
  return gcra_commit(key, capacity, fill, drain, 0, now, math.max(0, level + raised))
end
