-- The instant of every hit: exact, at the price of about a dozen bytes for each hit of a period.
--
-- Constants  limit   units
--            period  in microseconds; what was consumed at t counts until just before t + period
-- State      a list: at, units in all, then for each hit its instant and its units, oldest first. Instants in the
--            future: booked by those who wait. Handed around are: total, units that count; gone, items at the head
--            that do not count any more; last, the newest instant.
-- O(1) where nothing has run out; else O(hits that have), each once. To be refused: O(hits that must run out first).

local HEAD = 2
local CHUNK = 128 -- even: an instant and its units stay together

-- Walk over the hits, oldest first, until `visit(instant, units)` says that it has seen enough.
local function walk(key, from, visit)
  local index = HEAD + from
  repeat
    local part = redis.call('LRANGE', key, index, index + CHUNK - 1)
    for each = 1, #part, 2 do
      if visit(tonumber(part[each]), tonumber(part[each + 1])) then
        return
      end
    end
    index = index + CHUNK
  until #part < CHUNK
end

-- The clock has stepped back, to another server's perhaps: move what it has seen along.
local function shift(key, back)
  local all = redis.call('LRANGE', key, HEAD, -1)
  for each = 1, #all, 2 do
    redis.call('LSET', key, HEAD + each - 1, string.format('%.0f', all[each] - back))
  end
  redis.call('LSET', key, 0, string.format('%.0f', now))
end

local function sliding_log_check(key, limit, period, _, cost)
  local head = redis.call('LRANGE', key, 0, 2)
  if #head < 3 then
    return cost > limit and -1 or 0, false, 0, 0, 0
  end
  if tonumber(head[1]) > now then
    shift(key, head[1] - now)
    head = redis.call('LRANGE', key, 0, 2)
  end
  local total, gone = tonumber(head[2]), 0
  if tonumber(head[3]) <= now - period then
    walk(key, 0, function(instant, units)
      if instant > now - period then
        return true
      end
      gone, total = gone + 2, total - units
    end)
  end
  local last = tonumber(redis.call('LINDEX', key, -2))
  if cost > limit then
    return -1, false, total, gone, last
  end
  local wait, excess = math.max(0, last - now), total + cost - limit
  if excess > 0 then
    walk(key, gone, function(instant, units)
      wait, excess = math.max(wait, instant + period - now), excess - units
      return excess <= 0
    end)
  end
  return wait, false, total, gone, last
end

local function sliding_log_commit(key, limit, period, _, cost, at, total, gone, last)
  if total + cost <= 0 then
    redis.call('DEL', key)
    return 0, 0, 0
  end
  if gone > 0 then
    redis.call('LTRIM', key, HEAD + gone, -1)
  end
  local head, sum = string.format('%.0f', now), string.format('%.0f', total + cost)
  if gone > 0 or last == 0 then
    redis.call('LPUSH', key, sum, head)
  else
    redis.call('LSET', key, 0, head)
    redis.call('LSET', key, 1, sum)
  end
  if cost > 0 then
    last = at
    redis.call('RPUSH', key, string.format('%.0f', at), string.format('%.0f', cost))
  end
  redis.call('PEXPIRE', key, lifetime(last + period - now))
  return total + cost, 0, last
end

local function sliding_log_report(limit, period, _, total, gone, last)
  return last > now and 0 or math.max(0, limit - total), total > 0 and last + period - now or 0
end

algorithms.sliding_log = {sliding_log_check, sliding_log_commit, sliding_log_report}
