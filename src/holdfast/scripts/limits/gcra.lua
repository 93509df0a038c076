-- The generic cell rate algorithm (ITU-T I.371), as its twin, a leaky bucket: a level that drains at a constant rate.
--
-- Constants  capacity  what may be in the bucket: burst * fill
--            fill      by how much a unit raises the level
--            drain     by how much the level falls in a microsecond; fill / drain is the time that a unit takes
-- State      a string: '<at> <level> <fill>', about 40 bytes. A fill other than ours: the quota was changed, and the
--            units that are in the bucket count as many as before.
--            Whatever is charged, it has drained in 142 years.
-- O(1)

local function bounded(level, drain)
  return math.min(level, FAR * drain, FAR * 1024) -- 2^62 can still be written as a whole number
end

local function gcra_check(key, capacity, fill, drain, cost)
  local level, back = 0, false
  local stored = redis.call('GET', key)
  if stored then
    local at, was, old = string.match(stored, '^(%d+) (%d+) (%d+)$')
    if at then
      at, level, old = tonumber(at), bounded(tonumber(was), drain), math.min(tonumber(old), FAR * 1024)
      if old ~= fill then
        local units = old > 0 and math.floor(level / old) or 0 -- whole ones apart: their product might not be exact
        level = old > 0 and bounded(units * fill + math.ceil((level - units * old) * fill / old), drain) or 0
      end
      back = at > now
      if not back then
        level = level - (now - at) * drain
        if level < 0 then
          level = 0
        end
      end
    end
  end
  local needed = cost * fill
  if needed > capacity then
    return -1, back, level
  end
  local excess = level + needed - capacity
  return excess > 0 and math.ceil(excess / drain) or 0, back, level
end

local function gcra_commit(key, capacity, fill, drain, cost, at, level)
  level = bounded(level + cost * fill, drain)
  if level > 0 then
    redis.call('SET', key, string.format('%d %d %d', now, level, fill), 'PX', lifetime(level / drain))
  else
    redis.call('DEL', key)
  end
  return level
end

local function gcra_report(capacity, fill, drain, level)
  if level >= capacity then
    return 0, math.ceil(level / drain)
  end
  return math.floor((capacity - level) / fill), math.ceil(level / drain)
end

algorithms.gcra = {gcra_check, gcra_commit, gcra_report}
