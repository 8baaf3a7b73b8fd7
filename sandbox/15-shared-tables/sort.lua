-- attack: moves the members of libraries about
-- why: frozen tables take nothing
-- class: 15
-- expect: error "readonly"

pcall(table.sort, ngx)
pcall(table.remove, kong)
table.insert(ngx, 1)
