-- attack: writes to kong through a function that merges tables
-- why: the function merges into a copy, and frozen tables reject writes
-- class: 15
-- expect: value true

pcall(require('kong.tools.table').table_merge, kong, {evil = 1})
pcall(require('kong.tools.table').table_merge, {evil = 1}, kong)
return kong.evil == nil and ngx.evil == nil
