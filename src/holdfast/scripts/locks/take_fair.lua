-- Take a lock in order of arrival: one that is free, and for which nobody waits who came before.
--
-- KEYS   1 held: the member that holds it
--        2 queue, 3 alive: who waits
--        4 fence: the last fencing token
-- ARGV   1 member: new for each acquisition, the same whenever it looks again
--        2 channel on which members are called
--        3 lease in milliseconds
--        4 1 to queue if it is refused, 0 not to
--        5 milliseconds for which it then counts as waiting
-- Reply  {1, fencing token}              taken, and no longer in the queue
--        {0, milliseconds, place}        refused
--           milliseconds                 after which it should look again even if it is not called; -1 only when called
--           place                        in the queue, from 1; 0 outside
-- O(log waiters), and those who are dropped. Repeatable: a second execution renews the first, with the same fencing
-- token, or the member's place in the queue.
--
-- A lock may become free without a word, when its lease runs out. The first in the queue looks then by itself; should
-- it be dead, whoever looks next calls it, and it holds up the others for a moment only.

drop_dead()
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1, tonumber(redis.call('GET', KEYS[4])) or mint(KEYS[4], micros)}
end
local head, until_when = find_head()
if not holder and (not head or head == ARGV[1]) then
  local fence = mint(KEYS[4], micros)
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
  if head then
    quit(ARGV[1])
  end
  return {1, fence}
end
if ARGV[4] == '1' then
  wait_in_line(ARGV[1], ARGV[5])
end
local position = position_of(ARGV[1])
if not holder then
  return {0, see_called(head, until_when), position}
end
if position > 1 then
  return {0, -1, position}
end
local left = redis.call('PTTL', KEYS[1])
return {0, left == -1 and 1000 or math.max(left, 1), position}
