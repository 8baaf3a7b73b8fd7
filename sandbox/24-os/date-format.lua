-- attack: a date format that C libraries choke on
-- why: formats are checked
-- class: 24
-- expect: error "conversion"
-- expect: error "invalid"
-- expect: error "date"
-- expect: error "format"

return os.date('%Ez%')
