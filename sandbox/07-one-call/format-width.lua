-- attack: a format of great width
-- why: widths have two digits at most
-- class: 7
-- expect: error "invalid"

return #string.format('%99999999s', 'x')
