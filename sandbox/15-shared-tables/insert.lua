-- attack: replaces table.insert
-- why: libraries are frozen
-- class: 15
-- expect: error "readonly"

table.insert = function() end
