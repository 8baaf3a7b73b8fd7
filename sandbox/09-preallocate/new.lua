-- attack: requests a table.new of a thousand million elements
-- why: size hints are capped
-- class: 9
-- expect: value 0

return #table.new(1e9, 1e9)
