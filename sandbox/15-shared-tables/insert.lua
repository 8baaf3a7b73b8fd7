-- attack: replaces table.insert
-- why: library tables are frozen
-- class: 15
-- expect: error "readonly"

table.insert = function() end
