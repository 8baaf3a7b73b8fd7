-- attack: 200,000 brackets
-- why: nesting is bounded before the parser sees it
-- class: 31
-- repeat: "(" 200000
-- expect: error "nested deeper"

return @1@1
