-- attack: catches the stop inside callbacks of host functions
-- why: the stop is raised again at every iteration
-- class: 2
-- expect: stopped

while true do
  pcall(table.sort, {3, 2, 1}, function() while true do end end)
  pcall(string.gsub, 'aaa', '.', function() while true do end end)
end
