-- attack: errors within errors, as deep as they go
-- why: an error that is no text is told of by its kind alone
-- class: 26
-- expect: error "table"

local e = 'x'
for i = 1, 100 do local _, m = pcall(error, {e}) e = m end
error(e)
