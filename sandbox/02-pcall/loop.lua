-- attack: catches the stop, again and again
-- why: the stop is raised anew at every turn until the script has ended
-- class: 2
-- expect: stopped

while true do pcall(function() while true do end end) end
