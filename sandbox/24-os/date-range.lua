-- attack: a date beyond all calendars
-- why: times are checked
-- class: 24
-- expect: error "date"
-- expect: error "time"
-- expect: error "range"
-- expect: error "represent"

return os.date('*t', 1e300)
