-- attack: replaces a long match of a pattern by a template that refers to it many thousand times
-- why: the result of a replacement is limited while it grows, also within one replacement
-- class: 30
-- expect: limited
-- expect: stopped

local text = ('x'):rep(2 ^ 20)
return #text:gsub('^.*$', ('%0'):rep(2 ^ 18))
