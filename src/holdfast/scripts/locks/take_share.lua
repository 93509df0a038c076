-- Take a part of what several may hold, in order of arrival: if there is room, and nobody waits who came before.
--
-- KEYS   1 held: who holds a part, see share
--        2 queue, 3 alive: who waits
--        4 fence: the last fencing token
-- ARGV   1 member: new for each acquisition, the same whenever it looks again; that of a writer begins with "w:"
--        2 channel on which members are called
--        3 lease in milliseconds
--        4 1 to queue if it is refused, 0 not to
--        5 milliseconds for which it then counts as waiting
--        6 capacity: how many may hold a part, 0 as many as like
--        7 1 for a writer, 0 for others
-- Reply  as that of take_fair
-- O(log members), and those who are dropped. Repeatable: a second execution renews the first, with a new fencing token,
-- or the member's place in the queue.
--
-- Only the first in the queue is ever called. When it has taken its part it calls the next, if there is room for that
-- too: so several parts that become free at once, or a row of readers, reach all whom they may.

drop_expired()
drop_dead()
local member, capacity, exclusive = ARGV[1], tonumber(ARGV[6]), ARGV[7] == '1'
local head, until_when = find_head()
local room = 0
if not redis.call('ZSCORE', KEYS[1], member) then
  room = head and head ~= member and -1 or room_in(exclusive, capacity)
end
if room == 0 then
  local fence = mint(KEYS[4], micros)
  hold(member, ARGV[3])
  if head == member then
    quit(member)
    head, until_when = find_head()
  end
  if head and room_in(is_writer(head), capacity) == 0 then
    call(head, until_when)
  end
  return {1, fence}
end
if ARGV[4] == '1' then
  wait_in_line(member, ARGV[5])
end
local position = position_of(member)
if room > 0 then
  return {0, room, position}
end
room = room_in(is_writer(head), capacity)
if room == 0 then
  return {0, see_called(head, until_when), position}
end
return {0, position > 0 and -1 or room, position}
