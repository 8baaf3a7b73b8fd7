-- attack: the database and the vault
-- why: there is none
-- class: 28
-- expect: error ""

return kong.db.connector:query('select 1')
