-- Change data of a session, its secret, its user, or how long it lasts: all of it, or nothing if somebody else has
-- changed one of the data meanwhile. A session that has ended is not written, so that nothing can bring it back.
--
-- KEYS   1 the session, see load.lua
-- ARGV   1 digest of the secret by which it was loaded; empty for our own code
--        2 digest of the secret that replaces it; empty: none does
--        3 milliseconds for which the one before may still save
--        4 user: `=` as it is, `-` none, or `+<user>`
--        5 idle time in milliseconds; empty: as it is
--        6 milliseconds after which it ends whatever happens; empty: as it is
--        7 `1` or `0`: whether its cookie outlives the browser; empty: as it is
--        8... of each datum its name, the id of the frame that is to be there, and the frame to store
--             id: empty = there is to be none, `*` = whatever is there       frame: empty = delete it
-- Reply  {0} it has ended, or the secret is worth nothing
--        {1, now, when it ends whatever happens, user} done; the user is empty if it is nobody's
--        {2, name, frame, name, frame...} somebody else has changed these; nothing was stored. No frame: empty.
--        {3} the secret may save, but not replace the one that has replaced it, nor say whose the session is
-- O(data that change). Repeatable: what the same call has stored before, it finds there and lets be.

local own, old, old_until, ends, idle = unpack(redis.call('HMGET', KEYS[1], '@k', '@o', '@ou', '@a', '@i'))
local now = now_of()
local kind = worth(own, old, old_until, ARGV[1], now)
local again = ARGV[2] ~= '' and own == ARGV[2]
if again then
  kind = 2
end
if kind == 0 or now >= tonumber(ends) then
  return {0}
end
if kind == 1 and (ARGV[2] ~= '' or string.sub(ARGV[4], 1, 1) == '+') then
  return {3}
end

local others = {2}
for place = 8, #ARGV, 3 do
  local found = redis.call('HGET', KEYS[1], ARGV[place]) or ''
  local id, wanted, ours = string.sub(found, 3, 34), ARGV[place + 1], string.sub(ARGV[place + 2], 3, 34)
  if wanted ~= '*' and id ~= wanted and id ~= ours then
    others[#others + 1] = ARGV[place]
    others[#others + 1] = found
  end
end
if #others > 1 then
  return others
end

for place = 8, #ARGV, 3 do
  if ARGV[place + 2] == '' then
    redis.call('HDEL', KEYS[1], ARGV[place])
  else
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 2])
  end
end
if ARGV[2] ~= '' and not again then
  redis.call('HSET', KEYS[1], '@k', ARGV[2], '@o', own, '@ou', string.format('%.0f', now + ARGV[3]))
end
if ARGV[4] == '-' then
  redis.call('HDEL', KEYS[1], '@u')
elseif ARGV[4] ~= '=' then
  redis.call('HSET', KEYS[1], '@u', string.sub(ARGV[4], 2))
end
if ARGV[5] ~= '' then
  idle = ARGV[5]
  redis.call('HSET', KEYS[1], '@i', idle)
end
if ARGV[6] ~= '' then
  ends = now + ARGV[6]
  redis.call('HSET', KEYS[1], '@a', string.format('%.0f', ends))
end
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[1], '@p', ARGV[7])
end
redis.call('HSET', KEYS[1], '@s', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(idle), ends - now)))
return {1, now, tonumber(ends), redis.call('HGET', KEYS[1], '@u') or ''}
