-- attack: never ends in a replayed phase
-- why: the deadline is that of functions of the log phase
-- class: 1
-- expect: stopped
-- settings: phase: access

while true do end
