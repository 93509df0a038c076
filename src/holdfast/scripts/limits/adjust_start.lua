-- The functions that change what was charged, by algorithm: key, x, y, z, units, and two instants or 0, see adjust.
-- They return false if nothing can be taken back yet.

local adjusts = {}
