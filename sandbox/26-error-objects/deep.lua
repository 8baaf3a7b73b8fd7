-- attack: raises errors inside error handlers, as deep as possible
-- why: an error that is not a string is reported by its type only
-- class: 26
-- expect: error "table"

local e = 'x'
for i = 1, 100 do local _, m = pcall(error, {e}) e = m end
error(e)
