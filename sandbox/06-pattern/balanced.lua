-- attack: a pattern with %b at every place of a long text of open brackets
-- why: pattern matching is interrupted
-- class: 6
-- expect: stopped
-- expect: value nil

local s = '('
for i = 1, 20 do s = s .. s end
return s:match('%b()x*y')
