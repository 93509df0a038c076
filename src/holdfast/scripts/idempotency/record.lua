-- What is known of a thing that is to be done once.
--
-- KEYS   1 record: a hash
--          token    whose it is: whoever began it last
--          until    the instant in milliseconds at which that one's lease runs out
--          fence    its fencing token: greater than all before it in this record, and usually the time in microseconds
--          print    the fingerprint of what was asked for
--          result   only once it is done
--
-- A record outlives its lease: as long as nobody has begun anew, whoever is late may still say what came of it.

local AFTER = 3600000 -- milliseconds for which it does
