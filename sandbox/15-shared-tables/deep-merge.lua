-- attack: writes into kong through a pure function
-- why: what is merged is a copy, and a frozen table takes nothing
-- class: 15
-- expect: value true

pcall(require('kong.tools.table').table_merge, kong, {evil = 1})
pcall(require('kong.tools.table').table_merge, {evil = 1}, kong)
return kong.evil == nil and ngx.evil == nil
