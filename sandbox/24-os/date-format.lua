-- attack: a date format that crashes C libraries
-- why: date formats are validated
-- class: 24
-- expect: error "conversion"
-- expect: error "invalid"
-- expect: error "date"
-- expect: error "format"

return os.date('%Ez%')
