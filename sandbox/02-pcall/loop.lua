-- attack: catches the stop in a loop
-- why: the stop is raised again at every iteration until the script ends
-- class: 2
-- expect: stopped

while true do pcall(function() while true do end end) end
