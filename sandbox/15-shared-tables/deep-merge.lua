-- attack: writes into kong through a pure function
-- why: a frozen table takes nothing from any side
-- class: 15
-- expect: error "readonly"

return require('kong.tools.table').table_merge(kong, {evil = 1}) == kong and error('readonly was written') or error('readonly: a copy')
