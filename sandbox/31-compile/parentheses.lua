-- attack: 200,000 nested parentheses
-- why: the nesting depth is checked before parsing
-- class: 31
-- repeat: "(" 200000
-- expect: error "nested deeper"

return @1@1
