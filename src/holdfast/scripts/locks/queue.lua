-- Who waits for a lock: in order of arrival, and each only as long as it says now and then that it is still there.
--
-- KEYS   2 queue: a sorted set of members, scored with their numbers of arrival
--        3 alive: a sorted set of the same members, scored with the instant in milliseconds until which each counts
-- ARGV   2 channel on which members are called
--
-- Both keys live until the last of those instants. If one of them is lost, those who wait queue again the next time
-- that they look.

local PATIENCE = 1000 -- milliseconds for which one that was called holds up those behind it

-- Remove whoever has not been heard of for too long.
local function drop_dead()
  local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  while first[1] and tonumber(first[2]) <= now do
    redis.call('ZREM', KEYS[2], first[1])
    redis.call('ZREM', KEYS[3], first[1])
    first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  end
end

-- Return the first in the queue and the instant until which it counts; nil if nobody waits.
local function find_head()
  local head = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  while head do
    local until_when = redis.call('ZSCORE', KEYS[3], head)
    if until_when then
      return head, tonumber(until_when)
    end
    redis.call('ZREM', KEYS[2], head)
    head = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  end
end

-- Put a member at the end of the queue, unless it is there already, and let it count for some milliseconds from now.
local function wait_in_line(member, milliseconds)
  if not redis.call('ZSCORE', KEYS[2], member) then
    local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
    local number = math.max((tonumber(last[2]) or 0) + 1, micros)
    redis.call('ZADD', KEYS[2], string.format('%.0f', number), member)
  end
  redis.call('ZADD', KEYS[3], now + milliseconds, member)
  local last = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', KEYS[2], last[2] - now + 1)
  redis.call('PEXPIRE', KEYS[3], last[2] - now + 1)
end

-- Return the place of a member in the queue, from 1; 0 if it does not wait.
local function position_of(member)
  local before = redis.call('ZRANK', KEYS[2], member)
  return before and before + 1 or 0
end

-- Take a member out of the queue; return whether it was there.
local function quit(member)
  redis.call('ZREM', KEYS[3], member)
  return redis.call('ZREM', KEYS[2], member) == 1
end

-- Tell the head that it may take the lock. It counts only for a moment from now: if it is gone, the others go on. To
-- call it again never gives it more time.
local function call(head, until_when)
  if until_when > now + PATIENCE then
    redis.call('ZADD', KEYS[3], now + PATIENCE, head)
  end
  redis.call('PUBLISH', ARGV[2], head)
end

-- Call a head that nobody has called yet; return the milliseconds after which those behind it may look.
local function see_called(head, until_when)
  if until_when > now + PATIENCE then
    call(head, until_when)
  end
  return math.min(until_when - now, PATIENCE)
end
