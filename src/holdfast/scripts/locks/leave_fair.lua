-- Give a lock back that is taken in order of arrival, or stop waiting for it, and call the next if it is free.
--
-- KEYS   1 held: the member that holds it
--        2 queue, 3 alive: who waits
-- ARGV   1 member
--        2 channel on which members are called; '' calls all, if nobody is in the queue
-- Reply  1 given back, 0 it was lost before, or never held
-- O(log waiters), and those who are dropped. Not repeatable: a second execution says that it was lost.

drop_dead()
local holder = redis.call('GET', KEYS[1])
local held = holder == ARGV[1]
if held then
  redis.call('DEL', KEYS[1])
end
local waited = quit(ARGV[1])
if held or waited and not holder then
  local head, until_when = find_head()
  if head then
    call(head, until_when)
  else
    redis.call('PUBLISH', ARGV[2], '')
  end
end
return held and 1 or 0
