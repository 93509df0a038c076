-- Give a part back of what several may hold, or stop waiting for one, and call the next if there is room.
--
-- KEYS   1 held: who holds a part, see share
--        2 queue, 3 alive: who waits
-- ARGV   1 member
--        2 channel on which members are called
-- Reply  1 given back, 0 it was lost before, or never held
-- O(log members), and those who are dropped. Not repeatable: a second execution says that it was lost.
--
-- How many may hold a part is not known here. Where one was given back there is room for one. Where one has only
-- stopped waiting, the next is told to look, but not hurried: there may be no room.

drop_expired()
drop_dead()
local held = redis.call('ZREM', KEYS[1], ARGV[1])
local waited = quit(ARGV[1])
if held == 0 and not waited then
  return 0
end
local head, until_when = find_head()
if head and room_in(is_writer(head), 0) == 0 then
  if held == 1 or redis.call('ZCARD', KEYS[1]) == 0 then
    call(head, until_when)
  else
    redis.call('PUBLISH', ARGV[2], head)
  end
end
return held
