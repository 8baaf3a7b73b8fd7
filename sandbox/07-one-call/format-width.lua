-- attack: a format directive with a huge width
-- why: a width has at most two digits
-- class: 7
-- expect: error "invalid"

return #string.format('%99999999s', 'x')
