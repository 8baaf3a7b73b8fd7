-- attack: sorts a library
-- why: frozen tables are not moved about
-- class: 15
-- expect: error "readonly"
-- expect: value true

pcall(table.sort, {1}, print)
table.insert(ngx, 1)
return true
