-- The generic cell rate algorithm (ITU-T I.371), as its twin, a leaky bucket: a level that drains at a constant rate.
--
-- Constants  capacity  what may be in the bucket: burst * fill
--            fill      by how much a unit raises the level
--            drain     by how much the level falls in a microsecond; fill / drain is the time that a unit takes
-- State      a string: '<at> <level> <fill>', about 40 bytes. A fill other than ours: the quota was changed, and the
--            units that are in the bucket count as many as before.
-- O(1)

local gcra = {}

function gcra.read(key, capacity, fill, drain)
  local state = {level = 0, capacity = tonumber(capacity), fill = tonumber(fill), drain = tonumber(drain)}
  local stored = redis.call('GET', key)
  local at, level, old = string.match(stored or '', '^(%d+) (%d+) (%d+)$')
  if at then
    state.back = now < tonumber(at)
    level = old == fill and tonumber(level) or math.ceil(level * fill / old)
    state.level = math.max(0, level - math.max(0, now - at) * state.drain)
  end
  return state
end

function gcra.wait(state, cost)
  local excess = state.level + cost * state.fill - state.capacity
  if cost * state.fill > state.capacity then
    return -1
  end
  return math.max(0, math.ceil(excess / state.drain))
end

function gcra.charge(state, cost, at)
  state.level = math.max(state.level, (at - now) * state.drain) + cost * state.fill
end

-- What a hit has raised and what has drained since cannot both be taken back.
function gcra.adjust(state, units, at)
  local raised = units * state.fill
  if units < 0 and at > 0 then
    raised = math.min(0, raised + math.max(0, now - at) * state.drain)
  end
  state.level = math.max(0, state.level + raised)
end

function gcra.write(key, state)
  if state.level <= 0 then
    redis.call('DEL', key)
    return
  end
  local value = string.format('%.0f %.0f %.0f', now, state.level, state.fill)
  redis.call('SET', key, value, 'PX', lifetime(state.level / state.drain))
end

function gcra.remaining(state)
  return math.max(0, math.floor((state.capacity - state.level) / state.fill))
end

function gcra.reset(state)
  return math.ceil(state.level / state.drain)
end

algorithms.gcra = gcra
