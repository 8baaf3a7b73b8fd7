-- attack: the database
-- why: there is none, and it says so
-- class: 28
-- expect: error "kong.db is not available"

return kong.db.connector:query('select 1')
