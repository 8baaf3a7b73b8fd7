-- attack: a comparator that never returns
-- why: the comparator is interrupted
-- class: 12
-- expect: stopped

table.sort({2, 1}, function() while true do end end)
