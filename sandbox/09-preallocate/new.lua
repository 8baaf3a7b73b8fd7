-- attack: asks table.new for room for a thousand million
-- why: hints are capped
-- class: 9
-- expect: value 0

return #table.new(1e9, 1e9)
