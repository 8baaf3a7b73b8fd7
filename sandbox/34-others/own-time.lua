-- attack: uses all of its own time
-- why: each plugin has its own time
-- class: 34
-- expect: stopped

while true do end
