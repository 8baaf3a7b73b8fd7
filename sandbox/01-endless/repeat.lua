-- attack: an endless repeat
-- why: the same, in repeat
-- class: 1
-- expect: stopped

repeat until false
