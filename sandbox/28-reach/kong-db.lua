-- attack: queries the database
-- why: kong.db is unavailable, and its use raises an error
-- class: 28
-- expect: error "kong.db is not available"

return kong.db.connector:query('select 1')
