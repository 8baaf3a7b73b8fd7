-- attack: a date outside the range of calendars
-- why: times are validated
-- class: 24
-- expect: error "date"
-- expect: error "time"
-- expect: error "range"
-- expect: error "represent"

return os.date('*t', 1e300)
