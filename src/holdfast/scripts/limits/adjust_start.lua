-- The functions that change what was charged, by algorithm: key, x, y, z, units, and the instant of the charge or 0.

local adjusts = {}
