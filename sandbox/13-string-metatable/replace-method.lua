-- attack: replaces string.upper for everybody
-- why: libraries are frozen
-- class: 13
-- expect: error "readonly"

string.upper = function() return 'evil' end
