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
--
-- Commands are gathered, since each takes as long as the rest of a usual call; but not too many words at once, which
-- Lua could not hand over.

local FIRST, CHUNK = 8, 1000

local function in_chunks(command, words)
  for start = 1, #words, CHUNK do
    redis.call(command, KEYS[1], unpack(words, start, math.min(start + CHUNK - 1, #words)))
  end
end

local own, old, old_until, ends, idle, user = unpack(redis.call('HMGET', KEYS[1], '@k', '@o', '@ou', '@a', '@i', '@u'))
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

local others, stored, deleted = {2}, {}, {}
for place = FIRST, #ARGV, 3 do
  local name, wanted, frame = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  if wanted ~= '*' then
    local found = redis.call('HGET', KEYS[1], name) or ''
    local id = string.sub(found, 3, 34)
    if id ~= wanted and id ~= string.sub(frame, 3, 34) then
      others[#others + 1] = name
      others[#others + 1] = found
    end
  end
  if frame == '' then
    deleted[#deleted + 1] = name
  else
    stored[#stored + 1] = name
    stored[#stored + 1] = frame
  end
end
if #others > 1 then
  return others
end

local function note(name, value)
  stored[#stored + 1] = name
  stored[#stored + 1] = value
end

if ARGV[2] ~= '' and not again then
  note('@k', ARGV[2])
  note('@o', own)
  note('@ou', string.format('%.0f', now + ARGV[3]))
end
if ARGV[4] == '-' then
  user = ''
  deleted[#deleted + 1] = '@u'
elseif ARGV[4] ~= '=' then
  user = string.sub(ARGV[4], 2)
  note('@u', user)
end
if ARGV[5] ~= '' then
  idle = ARGV[5]
  note('@i', idle)
end
if ARGV[6] ~= '' then
  ends = now + ARGV[6]
  note('@a', string.format('%.0f', ends))
end
if ARGV[7] ~= '' then
  note('@p', ARGV[7])
end
note('@s', string.format('%.0f', now))
in_chunks('HSET', stored)
in_chunks('HDEL', deleted)
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(idle), ends - now)))
return {1, now, tonumber(ends), user or ''}
