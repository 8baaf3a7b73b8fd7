-- attack: errors within errors
-- why: they are bounded
-- class: 26
-- expect: error ""

local e = 'x'
for i = 1, 100 do local _, m = pcall(error, {e}) e = m end
error(e)
