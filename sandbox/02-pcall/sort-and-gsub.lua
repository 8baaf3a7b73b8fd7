-- attack: swallows the stop inside of callbacks of the host
-- why: it is raised again at every turn
-- class: 2
-- expect: stopped

while true do
  pcall(table.sort, {3, 2, 1}, function() while true do end end)
  pcall(string.gsub, 'aaa', '.', function() while true do end end)
end
