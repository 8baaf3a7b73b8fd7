-- attack: a comparator that never ends
-- why: it is interrupted
-- class: 12
-- expect: stopped

table.sort({2, 1}, function() while true do end end)
