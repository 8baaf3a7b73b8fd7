-- attack: reorders the members of libraries with table.sort
-- why: frozen tables reject writes
-- class: 15
-- expect: error "readonly"

pcall(table.sort, ngx)
pcall(table.remove, kong)
table.insert(ngx, 1)
