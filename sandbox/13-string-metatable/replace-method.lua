-- attack: replaces string.upper for all scripts
-- why: library tables are frozen
-- class: 13
-- expect: error "readonly"

string.upper = function() return 'evil' end
